"""Programs of Debian that tests run, installed when they are missing and that is possible."""

import os
import shutil
import subprocess

import pytest

INSTALL_SECS = 300
_SBIN = "/usr/sbin:/sbin:/usr/local/sbin:/usr/lib/systemd:/lib/systemd"


def debian_command(name: str, package: str) -> str:
    """The path of a program; its package is installed if need be. Skips the test where nobody may do that."""
    found = _which(name)
    if found is None:
        apt = shutil.which("apt-get")
        if apt is None or os.geteuid() != 0:
            pytest.skip(f"needs the command {name} of the Debian package {package}")
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            subprocess.run(
                [apt, "--quiet", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=INSTALL_SECS,
                check=True,
            )
        found = _which(name)
    assert found is not None, f"the package {package} has no command {name}"
    return found


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SBIN)
