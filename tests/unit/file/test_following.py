"""A file input on real files: growth, half lines, limits, patterns, and what cannot be read."""

import asyncio
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.unit.file.following import Kept, config, following, run_once


def test_lines_arrive_with_their_offsets_and_path(tmp_path: Path) -> None:
    """Each record knows where in which file it began."""
    (tmp_path / "model.log").write_bytes(b"one\r\n\nthree\n")
    kept = Kept()
    run_once(config(tmp_path, labels={"team": "fraud"}), kept)
    (batch,) = kept.batches
    assert batch.lines == [b"one", b"", b"three"]
    assert batch.columns == {"log.offset": [b"0", b"5", b"6"]}
    path = f'"{tmp_path}/model.log"'.encode()
    assert batch.constants == {"log.file.path": path, "labels.team": b'"fraud"'}
    assert (batch.counts.accepted, batch.counts.bytes) == (3, 12)


def test_written_lines_arrive_without_a_scan(tmp_path: Path) -> None:
    """The kernel's word is enough: with a scan once an hour lines arrive all the same."""

    async def scenario() -> None:
        kept = Kept()
        log = tmp_path / "model.log"
        log.write_bytes(b"first\n")
        async with following(config(tmp_path, scan_interval=3600), kept):
            await kept.wait_for_lines(b"first")
            with log.open("ab") as writer:
                writer.write(b"second\n")
            await kept.wait_for_lines(b"first", b"second")
            (tmp_path / "other.log").write_bytes(b"third\n")
            await kept.wait_for_lines(b"first", b"second", b"third")

    asyncio.run(scenario())


def test_written_lines_arrive_by_scan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel tells nothing, as on network file systems, the scan finds everything."""
    monkeypatch.setattr("agent.inputs.file.wake._WATCHED", 0x40000000 | 0x2)  # nothing but what concerns folders

    async def scenario() -> None:
        kept = Kept()
        log = tmp_path / "model.log"
        log.write_bytes(b"first\n")
        async with following(config(tmp_path, scan_interval=0.05), kept):
            await kept.wait_for_lines(b"first")
            with log.open("ab") as writer:
                writer.write(b"second\n")
            await kept.wait_for_lines(b"first", b"second")

    asyncio.run(scenario())


def test_works_without_inotify(tmp_path: Path) -> None:
    """A process that gets no inotify instance (limit reached) polls."""
    script = (
        "import resource, asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.file.following import Kept, config, following\n"
        "from agent.inputs.file import wake\n"
        "def refused(**_): raise OSError(24, 'Too many open files')\n"
        "wake.INotify = refused\n"
        "folder = Path(sys.argv[1])\n"
        "async def scenario():\n"
        "    kept = Kept()\n"
        "    (folder / 'model.log').write_bytes(b'first\\n')\n"
        "    async with following(config(folder, scan_interval=3600), kept):\n"
        "        await kept.wait_for_lines(b'first')\n"
        "        with (folder / 'model.log').open('ab') as writer:\n"
        "            writer.write(b'second\\n')\n"
        "        await kept.wait_for_lines(b'first', b'second')\n"
        "asyncio.run(scenario())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()


def test_more_files_than_descriptors_are_all_followed(tmp_path: Path) -> None:
    """Files at rest are closed when too many are open; they are read on, and found again when renamed."""
    script = (
        "import asyncio, resource, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.file.following import Kept, config, following\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "folder = Path(sys.argv[1])\n"
        "names = [folder / f'{i}.log' for i in range(200)]\n"
        "async def scenario():\n"
        "    kept = Kept()\n"
        "    async with following(config(folder), kept):\n"
        "        for round in range(3):\n"
        "            for name in names:\n"
        "                with name.open('a') as log:\n"
        "                    log.write(f'{name.stem} {round}\\n')\n"
        "            await kept.wait_until(lambda: len(kept.lines) >= 200 * (round + 1))\n"
        "            for name in names[:5]:\n"
        "                name.rename(f'{name}.{round}')\n"
        "    assert sorted(kept.lines) == sorted(f'{i} {r}'.encode() for i in range(200) for r in range(3))\n"
        "asyncio.run(scenario())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"cannot be read" not in done.stderr


def test_a_line_not_ended_waits_for_its_end(tmp_path: Path) -> None:
    """Half a line is never a record while the writer may finish it."""

    async def scenario() -> None:
        kept = Kept()
        with (tmp_path / "model.log").open("ab", buffering=0) as writer:
            async with following(config(tmp_path), kept):
                writer.write(b"whole\nha")
                await kept.wait_for_lines(b"whole")
                writer.write(b"l")
                (tmp_path / "beside.log").write_bytes(b"looked\n")
                await kept.wait_for_lines(b"whole", b"looked")
                writer.write(b"f\n")
                await kept.wait_for_lines(b"whole", b"looked", b"half")

    asyncio.run(scenario())


def test_a_half_line_waits_across_a_restart(tmp_path: Path) -> None:
    """Stopping does not turn half a line into a record."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"whole\nha")
    run_once(config(tmp_path), kept)
    with log.open("ab") as writer:
        writer.write(b"lf\nnext\n")
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"whole", b"half", b"next"]


@pytest.mark.parametrize(
    ("later", "expected"),
    [(b"\nnext\n", [b"next"]), (b"\r\nnext\n", [b"next"]), (b" and more\nnext\n", [b" and more", b"next"])],
)
def test_a_rested_line_is_taken_and_its_late_end_is_no_record(
    tmp_path: Path, later: bytes, expected: list[bytes]
) -> None:
    """A last line without end is taken after a rest; a line end that comes late adds nothing, more text is a record
    of its own. Also across a restart."""

    async def scenario(*, restart: bool) -> None:
        kept = Kept()
        folder = tmp_path / str(restart)
        folder.mkdir()
        settings = config(folder, partial_after=0.01)
        log = folder / "model.log"
        log.write_bytes(b"last words")
        async with following(settings, kept):
            await kept.wait_for_lines(b"last words")
            if not restart:
                with log.open("ab") as writer:
                    writer.write(later)
                await kept.wait_for_lines(b"last words", *expected)
        if restart:
            with log.open("ab") as writer:
                writer.write(later)
            async with following(settings, kept):
                await kept.wait_for_lines(b"last words", *expected)
        assert kept.count("bytes") == log.stat().st_size

    asyncio.run(scenario(restart=False))
    asyncio.run(scenario(restart=True))


def test_stop_reads_what_is_there_first(tmp_path: Path) -> None:
    """Asked to stop before it began, the input still reads every file to its end."""
    for i in range(20):
        (tmp_path / f"{i}.log").write_bytes(b"line\n" * 1000)
    kept = Kept()
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"line"] * 20_000


def test_batches_obey_their_limits(tmp_path: Path) -> None:
    """However short the lines, a batch holds at most 4096, and its position is behind them."""
    (tmp_path / "model.log").write_bytes(b"\n" * 300_000)
    kept = Kept()
    run_once(config(tmp_path), kept)
    assert len(kept.lines) == 300_000
    assert 4000 < max(len(batch.lines) for batch in kept.batches) <= 4096
    offsets = [int(text) for batch in kept.batches for text in batch.columns["log.offset"]]
    assert offsets == list(range(300_000))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"include_lines": ["^a"]}, [b"apple", b"avocado"]),
        ({"exclude_lines": ["o$", "^p"]}, [b"apple"]),
        ({"include_lines": ["^a", "^p"], "exclude_lines": ["o$"]}, [b"apple", b"plum"]),
        ({"include_lines": ["nothing"]}, []),
    ],
)
def test_unwanted_lines_are_left_out_and_counted(
    tmp_path: Path, settings: dict[str, Any], expected: list[bytes]
) -> None:
    """Patterns choose lines; offsets stay those of the file, and the position moves even past a block with nothing
    wanted."""
    content = b"apple\navocado\nplum\n"
    (tmp_path / "model.log").write_bytes(content)
    kept = Kept()
    run_once(config(tmp_path, **settings), kept)
    run_once(config(tmp_path, **settings), kept)
    assert kept.lines == expected
    assert (kept.count("accepted"), kept.count("excluded"), kept.count("bytes")) == (3, 3 - len(expected), len(content))
    starts = [int(text) for batch in kept.batches for text in batch.columns["log.offset"]]
    assert [content[start : start + len(line)] for start, line in zip(starts, expected, strict=True)] == expected


def test_an_over_long_line_is_cut_marked_and_never_held(tmp_path: Path) -> None:
    """A line of 50 MB costs a few MB of memory, gives one marked record, and the file is read on."""
    log = tmp_path / "model.log"
    with log.open("wb") as writer:
        writer.write(b"before\n")
        for _ in range(50):
            writer.write(b"x" * 1_000_000)
        writer.write(b"\nafter\n")
    kept = Kept()
    tracemalloc.start()
    try:
        run_once(config(tmp_path), kept)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(line) for line in kept.lines] == [6, 1024**2, 5]
    assert [batch.constants.get("labels.truncated") for batch in kept.batches if batch.lines] == [None, b'"line"', None]
    assert (kept.count("truncated"), kept.count("accepted"), kept.count("bytes")) == (1, 3, log.stat().st_size)
    assert peak < 12 * 1024**2


def test_skipping_an_over_long_line_survives_restarts(tmp_path: Path) -> None:
    """Killed while a long line is still being written, the input goes on skipping it."""
    log, kept = tmp_path / "model.log", Kept()
    settings = config(tmp_path, max_line=1000)
    for piece in (b"y" * 1500, b"y" * 1500, b"y" * 10 + b"\nafter\n"):
        with log.open("ab") as writer:
            writer.write(piece)
        run_once(settings, kept)
    assert kept.lines == [b"y" * 1000, b"after"]
    assert kept.count("bytes") == log.stat().st_size


def test_start_at_the_tail_skips_what_was_there_only(tmp_path: Path) -> None:
    """With ``start: tail`` old lines stay unread, an unfinished one is read whole, and files that appear later are
    read from their head."""

    async def scenario() -> None:
        kept = Kept()
        log = tmp_path / "model.log"
        log.write_bytes(b"old\nunfini")
        settings = config(tmp_path, start="tail")
        async with following(settings, kept):
            await kept.wait_until(lambda: kept.positions)
        with log.open("ab") as writer:
            writer.write(b"shed\nnew\n")
        async with following(settings, kept):
            await kept.wait_for_lines(b"unfinished", b"new")
            (tmp_path / "later.log").write_bytes(b"whole\n")
            await kept.wait_for_lines(b"unfinished", b"new", b"whole")

    asyncio.run(scenario())


def test_old_files_are_left_alone_until_they_change(tmp_path: Path) -> None:
    """``ignore_older`` concerns files never read; a change makes them young."""

    async def scenario() -> None:
        kept = Kept()
        old, young = tmp_path / "old.log", tmp_path / "young.log"
        old.write_bytes(b"old\n")
        os.utime(old, (1_600_000_000, 1_600_000_000))
        young.write_bytes(b"young\n")
        async with following(config(tmp_path, ignore_older=3600.0), kept):
            await kept.wait_for_lines(b"young")
            with old.open("ab") as writer:
                writer.write(b"again\n")
            await kept.wait_for_lines(b"young", b"old", b"again")

    asyncio.run(scenario())


def test_excluded_compressed_and_odd_files_are_not_read(tmp_path: Path) -> None:
    """Neither what the operator excludes nor compressed files, folders, pipes or dangling links."""
    for name in ("a.log", "debug.log", "a.log.gz", "a.log.tmp", "b.xz", "c.zst", "d.bz2", "e.swp"):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "dangling.log").symlink_to(tmp_path / "nowhere")
    kept = Kept()
    run_once(config(tmp_path, paths=[f"{tmp_path}/*"], exclude=["debug.*"]), kept)
    assert kept.lines == [b"a.log"]


@pytest.mark.parametrize("link", ["hard", "soft"])
def test_a_file_at_two_paths_is_read_once(tmp_path: Path, link: str) -> None:
    """Two patterns, a hard link or a symbolic link do not make two files."""
    log = tmp_path / "model.log"
    log.write_bytes(b"once\n")
    if link == "hard":
        (tmp_path / "alias.log").hardlink_to(log)
    else:
        (tmp_path / "alias.log").symlink_to(log)
    kept = Kept()
    for _ in range(2):
        run_once(config(tmp_path, paths=[f"{tmp_path}/*.log", str(log)]), kept)
    assert kept.lines == [b"once"]


def test_a_missing_folder_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The model may start later than the collector: said once, then found."""

    async def scenario() -> None:
        kept = Kept()
        folder = tmp_path / "not" / "yet"
        async with following(config(folder), kept):
            await kept.wait_until(lambda: "does not exist yet" in caplog.text)
            folder.mkdir(parents=True)
            (folder / "model.log").write_bytes(b"here\n")
            await kept.wait_for_lines(b"here")

    asyncio.run(scenario())
    assert caplog.text.count("does not exist yet") == 1


def test_an_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is reported, tried again at every scan, and read once it can be."""
    script = (
        "import asyncio, logging, os, sys, selectors\n"
        "from pathlib import Path\n"
        "from tests.unit.file.following import Kept, config, following\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "folder = Path(sys.argv[1])\n"
        "secret = folder / 'secret.log'\n"
        "if os.getuid() == 0:\n"
        "    os.chdir('/')\n"
        "    os.setgroups([])\n"
        "    os.setgid(65534)\n"
        "    os.setuid(65534)\n"
        "async def scenario():\n"
        "    kept = Kept()\n"
        "    async with following(config(folder), kept):\n"
        "        await kept.wait_for_lines(b'open')\n"
        "        secret.chmod(0o600)\n"
        "        await kept.wait_for_lines(b'open', b'secret')\n"
        "asyncio.run(scenario())\n"
    )
    (tmp_path / "open.log").write_bytes(b"open\n")
    secret = tmp_path / "secret.log"
    secret.write_bytes(b"secret\n")
    secret.chmod(0)
    if os.getuid() == 0:
        # Root reads everything, so another user does the reading, of files that are its own.
        for path in (tmp_path, secret, tmp_path / "open.log"):
            os.chown(path, 65534, 65534)
        for folder in tmp_path.parents:
            if folder.is_relative_to(tempfile.gettempdir()) and str(folder) != tempfile.gettempdir():
                folder.chmod(0o711)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"A file cannot be read" in done.stdout + done.stderr


def test_a_position_that_cannot_be_read_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """Damaged or foreign positions are reported; the file is read as if never seen."""
    (tmp_path / "model.log").write_bytes(b"line\n")
    kept = Kept()
    kept.positions = {"s1": b"junk", "s2": b"", "s3": bytes([0x91, 99])}
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"line"]


def test_positions_of_another_configuration_are_kept(tmp_path: Path) -> None:
    """A path taken out of the configuration is not read, and goes on where it was when it is put back."""
    (tmp_path / "a.log").write_bytes(b"a1\n")
    (tmp_path / "b.log").write_bytes(b"b1\n")
    kept = Kept()
    run_once(config(tmp_path), kept)
    for name in ("a", "b"):
        with (tmp_path / f"{name}.log").open("ab") as log:
            log.write(b"%s2\n" % name.encode())
    run_once(config(tmp_path, paths=[f"{tmp_path}/a.log"]), kept)
    assert sorted(kept.lines) == [b"a1", b"a2", b"b1"]
    run_once(config(tmp_path), kept)
    assert sorted(kept.lines) == [b"a1", b"a2", b"b1", b"b2"]


def test_nothing_is_read_ahead_beyond_one_block_while_the_queue_is_full(tmp_path: Path) -> None:
    """While a batch waits, only one more block is read; nothing is lost when there is room again."""

    async def scenario() -> None:
        kept = Kept()
        (tmp_path / "model.log").write_bytes(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 40_000)
        kept.room.clear()
        tracemalloc.start()
        try:
            async with following(config(tmp_path), kept):
                looked = tmp_path / "looked"
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(20):  # scans go on meanwhile
                    looked.touch()
                    looked.unlink()
                    await asyncio.sleep(0.01)
                held = tracemalloc.get_traced_memory()[0] - before
                kept.room.set()
                await kept.wait_until(lambda: len(kept.lines) == 40_001)
        finally:
            tracemalloc.stop()
        assert held < 1_500_000

    asyncio.run(scenario())
