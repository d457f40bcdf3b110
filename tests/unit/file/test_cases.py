"""The cases in which collectors lose or double lines, each on real files. What is not here is in ``test_rotation`` and
``test_packed``."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.inputs.contract import Stop
from agent.inputs.file.input import FileInput
from tests.unit.file.following import Kept, config, following, run_once

BANNER = b"a banner that every file of this model begins with, and that is longer than most fingerprints\n" * 20


def test_several_rotations_between_two_looks_leave_nothing_unread(tmp_path: Path) -> None:
    """Five files written and renamed in one go while the input runs: each is read, in order."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        log.write_bytes(b"0\n")
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(b"0")
            for number in range(1, 6):
                for older in range(number - 1, 0, -1):
                    os.rename(f"{log}.{older}", f"{log}.{older + 1}")
                os.rename(log, f"{log}.1")
                log.write_bytes(b"%d\n" % number)
            await kept.wait_for_lines(*(b"%d" % number for number in range(6)))

    asyncio.run(scenario())


def test_a_file_rotated_before_the_first_look_at_it_is_read(tmp_path: Path) -> None:
    """The model starts after the input, and its first file lives for a moment only."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        (tmp_path / "model.log.9").write_bytes(b"of an earlier run\n")
        os.utime(tmp_path / "model.log.9", (1_700_000_000, 1_700_000_000))
        (tmp_path / "beside.log").write_bytes(b"looked\n")
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(b"looked")
            log.write_bytes(b"first\n")
            os.rename(log, f"{log}.1")
            log.write_bytes(b"second\n")
            await kept.wait_for_lines(b"looked", b"first", b"second")

    asyncio.run(scenario())


def test_a_file_renamed_again_and_again_is_read_on(tmp_path: Path) -> None:
    """Its writer holds it open through three names; nothing comes twice."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        expected = [b"begin"]
        with log.open("ab", buffering=0) as writer:
            writer.write(b"begin\n")
            async with following(config(tmp_path), kept):
                await kept.wait_for_lines(*expected)
                for old, new in (("model.log", "model.log.1"), ("model.log.1", "model.log.2"), ("model.log.2", "odd")):
                    os.rename(tmp_path / old, tmp_path / new)
                    writer.write(new.encode() + b"\n")
                    expected.append(new.encode())
                    await kept.wait_for_lines(*expected)

    asyncio.run(scenario())


@pytest.mark.parametrize("while_down", [False, True])
@pytest.mark.parametrize("append", [False, True])
def test_a_writer_that_goes_on_after_copytruncate_is_followed(
    tmp_path: Path, *, append: bool, while_down: bool
) -> None:
    """In append mode it goes on at the beginning, otherwise behind a hole of NULs; the lines are the same."""
    log, kept = tmp_path / "model.log", Kept()
    lines = [b"line %03d of the first file, long enough" % i for i in range(50)]

    async def scenario() -> None:
        with log.open("ab" if append else "wb", buffering=0) as writer:
            writer.write(b"\n".join(lines) + b"\n")
            for round_ in range(3):
                expected = [*lines, *(b"round %d" % r for r in range(round_))]
                async with following(config(tmp_path), kept):
                    await kept.wait_for_lines(*expected)
                    if not while_down:
                        shutil.copyfile(log, f"{log}.1")
                        os.truncate(log, 0)
                        writer.write(b"round %d\n" % round_)
                        await kept.wait_for_lines(*expected, b"round %d" % round_)
                if while_down:
                    shutil.copyfile(log, f"{log}.1")
                    os.truncate(log, 0)
                    writer.write(b"round %d\n" % round_)

    asyncio.run(scenario())
    run_once(config(tmp_path), kept)
    assert kept.lines == [*lines, b"round 0", b"round 1", b"round 2"]
    assert kept.count("leading_nuls") == (0 if append else 3)


def test_the_kubelets_chain_of_links_is_followed_through_its_rotation(tmp_path: Path) -> None:
    """From /var/log/containers over /var/log/pods to the runtime's own folder; rotated there, and compressed later."""
    containers, pod, runtime = tmp_path / "containers", tmp_path / "pods" / "ns_pod_uid" / "app", tmp_path / "runtime"
    for folder in (containers, pod, runtime):
        folder.mkdir(parents=True)
    (runtime / "0.log").write_bytes(b"first\n")
    (pod / "0.log").symlink_to(runtime / "0.log")
    (containers / "pod_ns_app-1.log").symlink_to(pod / "0.log")
    kept = Kept()

    async def scenario() -> None:
        async with following(config(containers), kept):
            await kept.wait_for_lines(b"first")
            os.rename(runtime / "0.log", runtime / "0.log.20261122-101500")
            (runtime / "0.log").write_bytes(b"second\n")
            await kept.wait_for_lines(b"first", b"second")

    asyncio.run(scenario())
    with (runtime / "0.log").open("ab") as writer:
        writer.write(b"third\n")
    (runtime / "0.log.20261122-101500").rename(runtime / "0.log.20261122-101500.gz")
    run_once(config(containers), kept)
    assert kept.lines == [b"first", b"second", b"third"]


def test_files_with_equal_heads_are_told_apart(tmp_path: Path) -> None:
    """The same first kilobytes in every file, across restarts and rotations: each file's lines, each once."""
    kept = Kept()
    for number in range(4):
        (tmp_path / f"{number}.log").write_bytes(BANNER + b"file %d\n" % number)
    run_once(config(tmp_path), kept)
    for number in range(4):
        os.rename(tmp_path / f"{number}.log", tmp_path / f"{number}.log.1")
        (tmp_path / f"{number}.log").write_bytes(BANNER + b"second file %d\n" % number)
    for _ in range(2):
        run_once(config(tmp_path), kept)
    own = sorted(line for line in kept.lines if b"banner" not in line)
    assert own == sorted(b"%sfile %d" % (which, number) for which in (b"", b"second ") for number in range(4))
    assert len(kept.lines) == 8 * 21


@pytest.mark.parametrize("content", [b"", b"\n", b"x\n"])
def test_files_shorter_than_any_fingerprint_are_followed(tmp_path: Path, content: bytes) -> None:
    """Empty or a byte long, two of them alike: read at once, and read on after a restart."""
    kept = Kept()
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(content)
    run_once(config(tmp_path), kept)
    assert kept.lines == content.splitlines() * 2
    for name in ("a.log", "b.log"):
        with (tmp_path / name).open("ab") as writer:
            writer.write(b"%s\n" % name.encode())
    run_once(config(tmp_path), kept)
    assert sorted(kept.lines) == sorted([*content.splitlines() * 2, b"a.log", b"b.log"])


@pytest.mark.parametrize("while_down", [False, True])
@pytest.mark.parametrize("head", [b"", BANNER])
def test_a_file_rewritten_to_the_same_size_is_read_again(tmp_path: Path, head: bytes, *, while_down: bool) -> None:
    """Size says nothing, and neither does the head: the bytes before the position are others."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(head + b"old line\n")
    before = head.splitlines()

    async def scenario() -> None:
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(*before, b"old line")
            if not while_down:
                log.write_bytes(head + b"new line\n")
                await kept.wait_for_lines(*before, b"old line", *before, b"new line")

    asyncio.run(scenario())
    if while_down:
        log.write_bytes(head + b"new line\n")
    run_once(config(tmp_path), kept)
    assert kept.lines == [*before, b"old line", *before, b"new line"]


def test_a_file_deleted_while_the_queue_is_full_is_read_to_its_end(tmp_path: Path) -> None:
    """Its name goes while most of it is unread: the descriptor keeps it."""
    log, kept = tmp_path / "model.log", Kept()
    lines = [b"%06d %s" % (i, b"x" * 100) for i in range(20_000)]

    async def scenario() -> None:
        log.write_bytes(b"\n".join(lines) + b"\n")
        kept.room.clear()
        async with following(config(tmp_path), kept):
            await kept.wait_until(lambda: kept.waiting)
            log.unlink()
            kept.room.set()
            await kept.wait_for_lines(*lines)

    asyncio.run(scenario())


def test_unread_bytes_and_generations_behind_are_told(tmp_path: Path) -> None:
    """While the queue is full they say how much waits, rotated files apart; then they are nought."""
    log, kept = tmp_path / "model.log", Kept()

    async def scenario() -> None:
        log.write_bytes(b"%s\n" % (b"x" * 99) * 10_000)
        kept.room.clear()
        followed, stop = FileInput(config(tmp_path), {}), Stop()
        running = asyncio.create_task(followed.run(kept.emit, stop))
        await kept.wait_until(lambda: kept.waiting)
        os.rename(log, f"{log}.1")
        log.write_bytes(b"next\n")
        await kept.wait_until(lambda: followed.progress().files == 2)
        waiting = followed.progress()
        assert waiting.generations_behind == 1
        assert 0 < waiting.unread_bytes <= 1_000_005
        kept.room.set()
        await kept.wait_until(lambda: len(kept.lines) == 10_001)
        stop.ask()
        await running
        assert (followed.progress().unread_bytes, followed.progress().generations_behind) == (0, 0)

    asyncio.run(scenario())


def test_folders_that_appear_later_are_found_at_any_depth(tmp_path: Path) -> None:
    """Also those that a wildcard stands for."""

    async def scenario() -> None:
        kept = Kept()
        async with following(config(tmp_path, paths=[f"{tmp_path}/*/logs/**/*.log"]), kept):
            expected = []
            for folder in ("run1/logs", "run2/logs/deep", "run1/logs/later"):
                (tmp_path / folder).mkdir(parents=True)
                (tmp_path / folder / "model.log").write_bytes(folder.encode() + b"\n")
                expected.append(folder.encode())
                await kept.wait_for_lines(*expected)

    asyncio.run(scenario())


def test_ten_thousand_files_need_few_descriptors(tmp_path: Path) -> None:
    """10,000 files written to, and to again, in a process that may open 256."""
    script = (
        "import asyncio, os, resource, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.file import following\n"
        "following.PATIENCE_SECS = 300.0\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
        "folder = Path(sys.argv[1])\n"
        "names = [folder / f'{i}.log' for i in range(10_000)]\n"
        "def write(text):\n"
        "    for name in names:\n"
        "        with name.open('a') as log:\n"
        "            log.write(f'{name.stem} {text}\\n')\n"
        "kept = following.Kept()\n"
        "for text in ('first', 'second'):\n"
        "    write(text)\n"
        "    following.run_once(following.config(folder), kept)\n"
        "    assert len(os.listdir('/proc/self/fd')) < 20\n"
        "assert sorted(kept.lines) == sorted(f'{i} {r}'.encode() for i in range(10_000) for r in ('first', 'second'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)], check=False, capture_output=True, timeout=500
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"cannot be read" not in done.stderr
