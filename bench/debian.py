"""Gets rsyslog from Debian's archive where that is possible."""

import os
import shutil
import subprocess

PACKAGES = ("rsyslog", "rsyslog-elasticsearch")
INSTALL_SECS = 300


def install_rsyslog() -> str | None:
    """Install it. None when it is there now, else a sentence that says why not."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "this is not Debian: there is no apt-get"
    if os.geteuid() != 0:
        return f"only root can install it: apt-get install {' '.join(PACKAGES)}"
    # Where an init system runs, Debian also starts the daemon as the system's own; the benchmark starts another.
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for arguments in (["update", "-qq"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            command = [apt, *arguments]
            subprocess.run(command, env=env, check=True, capture_output=True, timeout=INSTALL_SECS)
    except subprocess.CalledProcessError as failure:
        return f"apt-get failed: {failure.stderr.decode(errors='replace').strip()[-300:]}"
    except subprocess.TimeoutExpired:
        return f"apt-get did not end within {INSTALL_SECS} s"
    return None
