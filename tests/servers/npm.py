"""Packages of Node.js, installed once into the cache folder, with what they need beside them."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import ServerUnavailable
from tests.servers.distribution import cache_folder

_INSTALL_SECS = 300


def node() -> str:
    """The program that runs them."""
    found = shutil.which("node")
    if found is None:
        raise ServerUnavailable("needs Node.js (`node`)")
    return found


def npm_package(name: str, version: str) -> Path:
    """The folder of a package at a version. No script of it or of its dependencies is run."""
    final = cache_folder() / f"npm-{name}-{version}"
    if not final.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise ServerUnavailable(f"needs npm to fetch {name}")
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as temporary:
            options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", temporary]
            command = [npm, "install", *options, f"{name}@{version}"]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=_INSTALL_SECS, stdin=subprocess.DEVNULL
                )
            except subprocess.TimeoutExpired:
                raise ServerUnavailable(f"npm did not fetch {name} within {_INSTALL_SECS} s") from None
            if done.returncode:
                raise ServerUnavailable(f"npm could not fetch {name}: {(done.stdout + done.stderr)[-1000:].strip()}")
            try:
                (Path(temporary) / "node_modules").rename(final)
            except OSError:
                if not final.exists():
                    raise
    return final / name
