"""Fetches server distributions with Maven and unpacks them once into the cache folder.

Two test runs at the same moment are safe: each downloads and unpacks beside the final place and renames into it; who
comes second throws its own copy away.
"""

import os
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tests.servers import ServerUnavailable

_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_DOWNLOAD_TIMEOUT_SECS = 300


def _open_to_others(path: Path) -> bool:
    """Whether another user can walk down to this path."""
    existing = [folder for folder in (path, *path.parents) if folder.exists()]
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in existing)


def cache_folder() -> Path:
    """Where distributions are kept between runs: ``$XDG_CACHE_HOME`` or ``~/.cache``, or ``/var/cache`` for root.

    Root starts servers as another user, who must be able to read them; root's home is usually closed.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modeltail-tests"
    if os.getuid() == 0 and not _open_to_others(folder):
        folder = Path("/var/cache/modeltail-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(artifact: str, into: Path) -> Path:
    """The file of a Maven artifact (``group:name:version:type``), freshly copied into a folder."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(f"needs Maven (`mvn`) to fetch {artifact}")
    command = [maven, "-q", "-B", _COPY_GOAL, f"-Dartifact={artifact}", f"-DoutputDirectory={into}"]
    try:
        done = subprocess.run(  # Maven, with arguments of ours
            command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ServerUnavailable(f"Maven did not fetch {artifact} within {_DOWNLOAD_TIMEOUT_SECS} s") from None
    files = list(into.iterdir())
    if done.returncode or len(files) != 1:
        raise ServerUnavailable(f"Maven could not fetch {artifact}: {(done.stdout + done.stderr)[-1000:].strip()}")
    return files[0]


def _unpack(archive: Path, into: Path) -> None:
    """Unpack a zip file, keeping what may be executed executable, readable by everyone."""
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            path = Path(content.extract(entry, into))
            mode = entry.external_attr >> 16
            path.chmod(0o755 if entry.is_dir() or mode & 0o100 else 0o644)


def distribution(artifact: str) -> Path:
    """The folder of an unpacked Maven artifact whose zip holds one folder. Fetched on first use, then kept."""
    group, name, version, _ = artifact.split(":")
    final = cache_folder() / f"{group.rpartition('.')[2]}-{name}-{version}"
    if final.exists():
        return final
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as temporary:
        beside = Path(temporary)
        (beside / "archive").mkdir()
        (beside / "content").mkdir()
        _unpack(_download(artifact, beside / "archive"), beside / "content")
        (only,) = (beside / "content").iterdir()
        try:
            only.rename(final)
        except OSError:
            if not final.exists():
                raise
    return final
