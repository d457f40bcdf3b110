"""How the process uses memory."""

import os
import subprocess
import sys


def test_aiohttp_comes_without_the_systems_certificates_and_the_environment_stays() -> None:
    """Programs that the agent starts must find the certificates where they always were."""
    code = (
        "import os; from agent import memory; memory.load_aiohttp(); import ssl, aiohttp.connector as c;"
        "print(c._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509'], os.environ.get('SSL_CERT_FILE'),"
        "'SSL_CERT_DIR' in os.environ)"
    )
    environ = {**os.environ, "SSL_CERT_FILE": "/a/file"}
    environ.pop("SSL_CERT_DIR", None)
    said = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["0", "/a/file", "False"]
