"""Real journal files, written by systemd's own program without a journald."""

import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.debian import debian_command

BOOT = "0123456789abcdef0123456789abcdef"
MACHINE = "1123456789abcdef0123456789abcdef"
FIRST_US = 1_763_805_600_123_456
"""2025-11-22T10:00:00.123456Z, the time of the first entry."""
WRITE_SECS = 60

Fields = Mapping[str, bytes | Sequence[bytes]]
"""An entry: a field that is there more than once has a list."""


class Journal:
    """A folder with one journal file, which grows. Each entry is one microsecond later than the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._command = debian_command("systemd-journal-remote", "systemd-journal-remote")
        self._count = 0
        self._file = 0

    def write(self, *entries: Fields, boot: str = BOOT) -> None:
        """Append entries. They are in the journal when this returns."""
        text = b"".join(self._entry(entry, boot) for entry in entries)
        subprocess.run(
            [self._command, f"--output={self.file}", "-"],
            input=text,
            capture_output=True,
            timeout=WRITE_SECS,
            check=True,
        )

    @property
    def file(self) -> Path:
        """The file that is written to."""
        return self.folder / f"part{self._file}.journal"

    def rotate(self) -> None:
        """Go on in a new file; the old one can be removed."""
        self._file += 1

    def _entry(self, entry: Fields, boot: str) -> bytes:
        """An entry in the Journal Export Format (systemd's ``docs/JOURNAL_EXPORT_FORMATS.md``)."""
        at = FIRST_US + self._count
        self._count += 1
        lines = [
            b"__REALTIME_TIMESTAMP=%d" % at,
            b"__MONOTONIC_TIMESTAMP=%d" % self._count,
            b"_BOOT_ID=%b" % boot.encode(),
            b"_MACHINE_ID=%b" % MACHINE.encode(),
        ]
        for name, values in entry.items():
            for value in [values] if isinstance(values, bytes) else values:
                lines.append(name.encode() + _exported(value))
        return b"\n".join(lines) + b"\n\n"


def _exported(value: bytes) -> bytes:
    """A value as text, or with its length before it if it is not plain."""
    if value.isascii() and value.decode().isprintable():
        return b"=" + value
    return b"\n" + struct.pack("<Q", len(value)) + value
