"""Programs built from Go modules, once, into the cache folder."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers import ServerUnavailable
from tests.servers.distribution import cache_folder

_BUILD_SECS = 900


def go_program(package: str, version: str) -> Path:
    """The program of a package (``github.com/elastic/go-lumber/cmd/tst-lj``) at a version (``v0.2.0``)."""
    name = package.rpartition("/")[2]
    final = cache_folder() / f"{name}-{version}"
    if final.exists():
        return final
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not Path(go).exists():
        raise ServerUnavailable(f"needs Go to build {package}")
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as temporary:
        try:
            done = subprocess.run(
                [go, "install", f"{package}@{version}"],
                env={**os.environ, "GOBIN": temporary},
                capture_output=True,
                text=True,
                timeout=_BUILD_SECS,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise ServerUnavailable(f"Go did not build {package} within {_BUILD_SECS} s") from None
        built = Path(temporary) / name
        if done.returncode or not built.exists():
            raise ServerUnavailable(f"Go could not build {package}: {done.stderr[-1000:].strip()}")
        built.rename(final)
    return final
