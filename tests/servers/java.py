"""Finds a Java of the right age among those installed."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.servers import ServerUnavailable

_RELEASE = re.compile(r'^JAVA_VERSION="(?:1\.)?(\d+)', re.MULTILINE)


def _homes() -> Iterator[Path]:
    """Where a JDK may lie: what the environment names, what the PATH leads to, what the distribution installs."""
    for variable in ("ES_JAVA_HOME", "JAVA_HOME"):
        if value := os.environ.get(variable):
            yield Path(value)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    for parent in ("/usr/lib/jvm", "/opt/java", "/Library/Java/JavaVirtualMachines"):
        yield from sorted(Path(parent).glob("*"))


def java_version(home: Path) -> int | None:
    """The major version of the Java in this folder, from its ``release`` file; None when there is no Java here."""
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    found = _RELEASE.search(release)
    return int(found[1]) if found and (home / "bin" / "java").exists() else None


def find_java(oldest: int, newest: int) -> Path:
    """The home of the newest installed Java whose major version lies within these. ``ServerUnavailable`` if there is
    none.
    """
    found = {home: version for home in _homes() if (version := java_version(home)) is not None}
    fitting = {home: version for home, version in found.items() if oldest <= version <= newest}
    if not fitting:
        seen = ", ".join(f"{version} in {home}" for home, version in found.items()) or "none"
        raise ServerUnavailable(f"needs Java {oldest} to {newest}, found {seen}; set JAVA_HOME")
    return max(fitting, key=lambda home: fitting[home])
