"""A feed of the input `journald`: a journal with the inference records as messages, made by systemd's own program."""

import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from bench.inputs.feed import Feed
from bench.inputs.files import START_SECS, lines

REMOTE = Path("/lib/systemd/systemd-journal-remote")
"""Of Debian's package `systemd-journal-remote`."""
_BOOT = b"_BOOT_ID=0123456789abcdef0123456789abcdef"


@lru_cache(maxsize=1)
def _journal(count: int) -> "tempfile.TemporaryDirectory[str]":
    """A folder with the journal (the Journal Export Format is systemd's ``docs/JOURNAL_EXPORT_FORMATS.md``)."""
    folder = tempfile.TemporaryDirectory(prefix="journal-")
    entries = [
        b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n%b\nPRIORITY=6\n_PID=7\nMESSAGE=%b\n"
        % (START_SECS * 1_000_000 + i, i + 1, _BOOT, line)
        for i, line in enumerate(lines(count))
    ]
    command = [str(REMOTE), f"--output={folder.name}/model.journal", "-"]
    subprocess.run(command, input=b"".join(entries), capture_output=True, check=True)
    return folder


def _put(folder: str, count: int) -> int:
    """Have the journal appear where the input waits for it."""
    shutil.copytree(_journal(count).name, Path(folder) / "arriving")
    (Path(folder) / "arriving").rename(Path(folder) / "journal")
    return count


FEEDS: tuple[Feed, ...] = (
    (
        Feed(
            "journald",
            100_000,
            {"type": "journald", "path": "{folder}/journal", "start": "head", "on_full": "block"},
            _put,
            prepare=_journal,
        ),
    )
    if REMOTE.exists()
    else ()
)
