"""When nothing more is to be expected of files: read to the end, quiet, and nobody seen who could still write."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.inputs.contract import Activity, Stop
from agent.inputs.file.input import FileInput
from agent.inputs.file.writers import has_writer
from tests.unit.file.following import PATIENCE_SECS, Kept, config

QUIET_SECS = 0.05
LOOKS = 30
"""How often to ask before "never" is believed; with the pause between two, several times the quiet time."""


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


async def _becomes_idle(followed: FileInput) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while await followed.activity(QUIET_SECS) != "idle":
            await asyncio.sleep(0.01)


async def _is_never_idle(followed: FileInput) -> set[Activity]:
    found = set()
    for _ in range(LOOKS):
        found.add(await followed.activity(QUIET_SECS))
        await asyncio.sleep(0.01)
    assert "idle" not in found
    return found


def _followed(scenario: Callable[[FileInput, Kept], Awaitable[None]], folder: Path, **settings: Any) -> None:
    async def run() -> None:
        kept, stop = Kept(), Stop()
        followed = FileInput(config(folder, **settings), {})
        assert await followed.activity(QUIET_SECS) == "busy"
        task = asyncio.create_task(followed.run(kept.emit, stop))
        try:
            await scenario(followed, kept)
        finally:
            kept.room.set()
            stop.ask()
            async with asyncio.timeout(PATIENCE_SECS):
                await task

    asyncio.run(run())


def test_files_read_to_the_end_become_idle(tmp_path: Path) -> None:
    """Rotated ones included."""
    (tmp_path / "model.log.1").write_bytes(b"one\n")
    (tmp_path / "model.log").write_bytes(b"two\n")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        await _becomes_idle(followed)
        assert kept.lines == [b"one", b"two"]

    _followed(scenario, tmp_path, paths=[f"{tmp_path}/*.log*"])


def test_last_words_of_a_writer_that_is_gone_are_read_before_idle_is_said(tmp_path: Path) -> None:
    """A line without its end, written and the file closed since the last look: it is taken once it has rested."""
    log = tmp_path / "model.log"
    log.write_bytes(b"one\n")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        await _becomes_idle(followed)
        with log.open("ab") as file:
            file.write(b"two")
        assert await followed.activity(0) == "busy"
        await _becomes_idle(followed)
        assert kept.lines == [b"one", b"two"]

    _followed(scenario, tmp_path, scan_interval=3600, partial_after=0.05)


def test_change_that_nothing_told_of_is_seen_before_idle_is_said(tmp_path: Path) -> None:
    """However rarely the input looks by itself: what was last seen long ago is looked at again."""
    log = tmp_path / "model.log"
    log.write_bytes(b"one\n")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        await _becomes_idle(followed)

    _followed(scenario, tmp_path, scan_interval=3600)


def test_file_that_was_deleted_when_it_was_read_is_idle(tmp_path: Path) -> None:
    """A model may tidy up behind itself."""
    log = tmp_path / "model.log"
    log.write_bytes(b"one\n")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        await kept.wait_for_lines(b"one")
        log.unlink()
        await _becomes_idle(followed)

    _followed(scenario, tmp_path, partial_after=0.2)


def test_nothing_seen_yet_is_not_idle(tmp_path: Path) -> None:
    """The model may take its time to start."""

    async def scenario(followed: FileInput, kept: Kept) -> None:
        assert "unseen" in await _is_never_idle(followed)
        (tmp_path / "model.log").write_bytes(b"one\n")
        await _becomes_idle(followed)

    _followed(scenario, tmp_path)


def test_lines_that_wait_for_room_are_not_idle(tmp_path: Path) -> None:
    """Read is not emitted."""
    (tmp_path / "model.log").write_bytes(b"one\n")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        kept.room.clear()
        assert "unseen" not in await _is_never_idle(followed)
        kept.room.set()
        await _becomes_idle(followed)

    _followed(scenario, tmp_path)


def test_unfinished_line_is_not_idle_until_it_is_taken(tmp_path: Path) -> None:
    """A line without its end is taken when it has rested, and is part of the log like any other."""
    (tmp_path / "model.log").write_bytes(b"one\nhalf")

    async def scenario(followed: FileInput, kept: Kept) -> None:
        await _becomes_idle(followed)
        assert kept.lines == [b"one", b"half"]

    _followed(scenario, tmp_path, partial_after=0.2)


@pytest.mark.parametrize(("mode", "expected"), [("r", False), ("a", True), ("r+", True)])
def test_only_who_may_write_is_a_writer(tmp_path: Path, mode: str, expected: bool) -> None:
    """A reader, such as a person with `tail`, is none; the process is a real one."""
    log = tmp_path / "model.log"
    log.write_bytes(b"")
    script = "import sys\nwith open(sys.argv[1], sys.argv[2]): print(flush=True), sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(log), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as model:
        assert model.stdout is not None
        model.stdout.readline()
        assert has_writer({_inode(log)}) is expected
        model.communicate()
    assert not has_writer({_inode(log)})


def test_another_files_writer_is_none(tmp_path: Path) -> None:
    """Told by device and inode."""
    (tmp_path / "model.log").write_bytes(b"")
    with (tmp_path / "other.log").open("ab"):
        assert not has_writer({_inode(tmp_path / "model.log")})


def test_processes_that_cannot_be_seen_are_passed_over(tmp_path: Path) -> None:
    """A process that ended while it was looked at, one that is another user's, a system without /proc."""
    log = tmp_path / "model.log"
    log.write_bytes(b"")
    fds = tmp_path / "proc" / "7" / "fd"
    fds.mkdir(parents=True)
    (tmp_path / "proc" / "8").mkdir()
    (fds / "3").symlink_to(tmp_path / "gone")
    assert not has_writer({_inode(log)}, str(tmp_path / "proc"))
    assert not has_writer({_inode(log)}, str(tmp_path / "nothing"))
    os.symlink(log, fds / "4")  # its mode, 0777, is that of a descriptor opened for writing
    assert has_writer({_inode(log)}, str(tmp_path / "proc"))
