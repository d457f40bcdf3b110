"""A certificate authority and a server certificate for loopback, made afresh with the ``openssl`` command."""

import hashlib
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Certificates(NamedTuple):
    """PEM files: the authority, and what a server presents (its own certificate, then the authority's) with its key."""

    authority: Path
    chain: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the authority's certificate, as Elasticsearch prints it."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.authority.read_text())).hexdigest()

    def server_context(self) -> ssl.SSLContext:
        """For a server that presents them."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


def make_certificates(folder: Path, host: str = "127.0.0.1") -> Certificates:
    """Make them. ``host`` is the address the server certificate is for."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    extensions = f"subjectAltName=IP:{host}\nbasicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n"
    folder.mkdir(exist_ok=True)
    (folder / "extensions").write_text(extensions)
    run("req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    run("req", *_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extensions"]
    run("x509", "-req", "-in", "server.csr", *signed, "-days", "2", "-out", "server.pem")
    (folder / "chain.pem").write_text((folder / "server.pem").read_text() + (folder / "ca.pem").read_text())
    return Certificates(folder / "ca.pem", folder / "chain.pem", folder / "server.key")


def imposter(real: Certificates, folder: Path) -> Certificates:
    """What someone presents who has only the authority's public certificate: a chain of his own with that appended."""
    own = make_certificates(folder)
    chain = folder / "imposter.pem"
    chain.write_text((folder / "server.pem").read_text() + real.authority.read_text())
    return Certificates(real.authority, chain, own.key)
