"""Rotation and truncation on real files: while the input runs, while it is down, and at any moment in between."""

import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.inputs.file.chain import Chain
from agent.inputs.file.generation import Generation
from agent.inputs.file.rotation import Member
from tests.unit.file.following import Kept, config, following, run_once


def rotate_numbers(log: Path) -> None:
    """``.1`` is the newest, as logrotate and the standard library do it."""
    numbered = sorted((int(p.name.rsplit(".", 1)[1]) for p in log.parent.glob(f"{log.name}.*")), reverse=True)
    for number in numbered:
        os.rename(f"{log}.{number}", f"{log}.{number + 1}")
    os.rename(log, f"{log}.1")


def rotate_dates(log: Path) -> None:
    """Each rotated file keeps its own dated name."""
    day = 10 + len(list(log.parent.glob(f"{log.name}-*")))
    os.rename(log, f"{log}-202611{day}-101500")


def rotate_upwards(log: Path) -> None:
    """The highest number is the newest."""
    os.rename(log, f"{log}.{1 + len(list(log.parent.glob(f'{log.name}.*'))):03d}")


@pytest.mark.parametrize("rotate", [rotate_numbers, rotate_dates, rotate_upwards])
@pytest.mark.parametrize("pattern", ["model.log", "*.log", "model.log*"])
def test_several_generations_written_while_down_are_read_in_order(
    tmp_path: Path, rotate: Callable[[Path], None], pattern: str
) -> None:
    """After a restart the known generation is found under its new name and read on; those newer are read whole,
    oldest first."""
    log, kept = tmp_path / "model.log", Kept()
    expected = []
    for number in range(2):
        log.write_bytes(b"old %d\n" % number)
        run_once(config(tmp_path, paths=[f"{tmp_path}/{pattern}"]), kept)
        expected.append(b"old %d" % number)
        rotate(log)
    log.write_bytes(b"read\n")
    run_once(config(tmp_path, paths=[f"{tmp_path}/{pattern}"]), kept)
    with log.open("ab") as writer:
        writer.write(b"unread\nunfinished")
    for number in range(12):
        rotate(log)
        log.write_bytes(b"missed %d\n" % number)
        moment = 2_000_000_000 + number
        os.utime(log, (moment, moment))
    run_once(config(tmp_path, paths=[f"{tmp_path}/{pattern}"]), kept)
    expected += [b"read", b"unread", b"unfinished", *(b"missed %d" % number for number in range(12))]
    assert kept.lines == expected
    run_once(config(tmp_path, paths=[f"{tmp_path}/{pattern}"]), kept)
    assert kept.lines == expected


def test_rotated_siblings_are_not_read_on_a_first_start(tmp_path: Path) -> None:
    """What was rotated before modeltail ever saw the file is not its business, unless the pattern names it."""
    for name, text in (("model.log.2", b"two\n"), ("model.log.1", b"one\n"), ("model.log", b"live\n")):
        (tmp_path / name).write_bytes(text)
    kept = Kept()
    for _ in range(2):
        run_once(config(tmp_path), kept)
    assert kept.lines == [b"live"]
    all_of_them = Kept()
    for _ in range(2):
        run_once(config(tmp_path, paths=[f"{tmp_path}/model.log*"]), all_of_them)
    assert all_of_them.lines == [b"two", b"one", b"live"]


def test_newer_siblings_are_read_when_the_known_one_is_gone(tmp_path: Path) -> None:
    """Down for so long that the known generation was compressed away: the later ones are still read."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"known\n")
    run_once(config(tmp_path), kept)
    ages = {"model.log.3": 1_900_000_000, "model.log.2": 1_900_000_100, "model.log.1": 1_900_000_200}
    os.rename(log, tmp_path / "model.log.4")
    for name, moment in ages.items():
        (tmp_path / name).write_bytes(name.encode() + b"\n")
        os.utime(tmp_path / name, (moment, moment))
    (tmp_path / "model.log.4").unlink()
    (tmp_path / "model.log.4.gz").write_bytes(b"\x1f\x8b")
    log.write_bytes(b"live\n")
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"known", b"model.log.3", b"model.log.2", b"model.log.1", b"live"]
    assert len(kept.positions) == 4


def test_files_beside_the_log_are_not_taken_for_its_generations(tmp_path: Path) -> None:
    """A lock file or another log whose name begins alike is left alone."""
    log, kept = tmp_path / "model", Kept()
    log.write_bytes(b"line\n")
    run_once(config(tmp_path, paths=[str(log)]), kept)
    os.rename(log, f"{log}.1")
    for name in ("model.error.log", "model.lock", "model2", "model.1.gz"):
        (tmp_path / name).write_bytes(b"not ours\n")
    log.write_bytes(b"more\n")
    run_once(config(tmp_path, paths=[str(log)]), kept)
    assert kept.lines == [b"line", b"more"]


def test_a_renamed_file_is_drained_before_its_successor(tmp_path: Path) -> None:
    """Late lines of the writer go to the renamed file; they come before what is in the new one, an unfinished last
    line included."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        with log.open("ab", buffering=0) as writer:
            writer.write(b"first\n")
            async with following(config(tmp_path), kept):
                await kept.wait_for_lines(b"first")
                os.rename(log, tmp_path / "model.log.1")
                writer.write(b"late\nunfinished")
                log.write_bytes(b"new\n")
                await kept.wait_for_lines(b"first", b"late", b"unfinished", b"new")

    asyncio.run(scenario())


def test_a_deleted_file_is_drained_and_forgotten(tmp_path: Path) -> None:
    """What the writer still puts into a deleted file is read; then its position goes."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        with log.open("ab", buffering=0) as writer:
            writer.write(b"first\n")
            async with following(config(tmp_path, partial_after=0.2), kept):
                await kept.wait_for_lines(b"first")
                log.unlink()
                writer.write(b"late\n")
                await kept.wait_for_lines(b"first", b"late")
                await kept.wait_until(lambda: not kept.positions)

    asyncio.run(scenario())


def test_positions_of_rotated_files_expire_with_them(tmp_path: Path) -> None:
    """However often a file rotates, only a bounded number of positions is kept."""
    log, kept = tmp_path / "model.log", Kept()
    for number in range(15):
        log.write_bytes(b"line %d\n" % number)
        run_once(config(tmp_path, partial_after=1e-9), kept)
        rotate_dates(log)
    log.write_bytes(b"last\n")
    run_once(config(tmp_path, partial_after=1e-9), kept)
    assert kept.lines == [*(b"line %d" % number for number in range(15)), b"last"]
    assert len(kept.positions) <= 10


@pytest.mark.parametrize("while_down", [False, True])
@pytest.mark.parametrize("again", [b"a\n", b"something longer than what was there before\n"])
def test_a_truncated_file_is_read_from_its_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, again: bytes, *, while_down: bool
) -> None:
    """Emptied and written again, even to beyond the old position: nothing of the new contents is missed, and nothing
    of the old comes twice."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        log.write_bytes(b"before\n")
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(b"before")
            if not while_down:
                log.write_bytes(again)
                await kept.wait_for_lines(b"before", again.strip())
                assert "truncated" in caplog.text
        if while_down:
            log.write_bytes(again)
            async with following(config(tmp_path), kept):
                await kept.wait_for_lines(b"before", again.strip())
        await asyncio.sleep(0)
        assert len(kept.positions) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("while_down", [False, True])
def test_a_copy_made_before_truncation_is_read_on(tmp_path: Path, *, while_down: bool) -> None:
    """copytruncate: lines that made it into the copy only are taken from the copy, once; the rest of the copy is not
    read again."""
    log, kept = tmp_path / "model.log", Kept()
    read = [b"%04d some text to make it recognisable" % i for i in range(100)]
    log.write_bytes(b"\n".join(read) + b"\n")

    def copytruncate() -> None:
        with log.open("ab") as writer:
            writer.write(b"only in the copy\n")
        shutil.copyfile(log, f"{log}.1")
        os.truncate(log, 0)
        with log.open("ab") as writer:
            writer.write(b"new\n")

    async def scenario() -> None:
        async with following(config(tmp_path), kept) as stop:
            await kept.wait_for_lines(*read)
            if while_down:
                stop.ask()
            else:
                copytruncate()
                await kept.wait_for_lines(*read, b"only in the copy", b"new")

    asyncio.run(scenario())
    if while_down:
        copytruncate()
        run_once(config(tmp_path), kept)
    run_once(config(tmp_path), kept)
    assert kept.lines == [*read, b"only in the copy", b"new"]


def test_a_reused_inode_is_not_the_old_file(tmp_path: Path) -> None:
    """Deleted and made anew while down, under the same inode and longer than before: the contents tell."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"old contents\n")
    inode = log.stat().st_ino
    run_once(config(tmp_path), kept)
    log.unlink()
    log.write_bytes(b"new contents that are longer\n")
    if (
        log.stat().st_ino != inode
    ):  # this file system does not reuse at once: the same bytes in the same inode do as well
        log.unlink()
        log.write_bytes(b"old contents\n")
        kept = Kept()
        run_once(config(tmp_path), kept)
        log.write_bytes(b"new contents that are longer\n")
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"old contents", b"new contents that are longer"]


def test_a_file_renamed_to_another_matching_name_is_not_read_again(tmp_path: Path) -> None:
    """Some loggers put the date before the ending, so that the rotated file matches the pattern by itself."""

    log, kept = tmp_path / "model.log", Kept()
    quick = config(tmp_path, partial_after=0.05)
    expected = []

    async def write_and_rename(number: int) -> None:
        log.write_bytes(b"line %d\n" % number)
        expected.append(b"line %d" % number)
        async with following(quick, kept):
            await kept.wait_for_lines(*expected)
            os.rename(log, tmp_path / f"model.2026-11-2{number}.log")

    for number in range(4):
        asyncio.run(write_and_rename(number))
    log.write_bytes(b"last\n")
    for _ in range(2):
        run_once(quick, kept)
    assert kept.lines == [*expected, b"last"]


def test_files_that_belong_to_another_path_by_now_keep_their_positions() -> None:
    """However many are read out at once: the bound is for rotated files of the path itself."""
    chain = Chain("/logs/model.log")
    members = [
        Member(f"/logs/model.log-{n}" if n < 12 else f"/logs/model.{n}.log", (1, n), 0, n, f"-{n}") for n in range(24)
    ]
    for member in members:
        generation = Generation.of_member(chain.path, member, 0.0)
        generation.recorded = True
        chain.adopt(generation)
    chain.retire(10.0, 1.0, members[:12], {member.inode for member in members})
    assert sorted(generation.inode[1] for generation in chain.retired) == [*range(4, 12), *range(12, 24)]


def test_a_symbolic_link_is_followed_to_its_rotations(tmp_path: Path) -> None:
    """As on Kubernetes nodes: the pattern matches links, the files rotate where they lie."""
    pods, containers = tmp_path / "pods", tmp_path / "containers"
    pods.mkdir()
    containers.mkdir()
    (pods / "0.log").write_bytes(b"first\n")
    (containers / "scorer.log").symlink_to(pods / "0.log")
    kept = Kept()
    run_once(config(containers), kept)
    with (pods / "0.log").open("ab") as writer:
        writer.write(b"second\n")
    os.rename(pods / "0.log", pods / "0.log.20261122-101500")
    (pods / "0.log").write_bytes(b"third\n")
    run_once(config(containers), kept)
    assert kept.lines == [b"first", b"second", b"third"]
    assert {batch.constants["log.file.path"] for batch in kept.batches if batch.lines} == {
        f'"{containers}/scorer.log"'.encode()
    }


def test_a_link_that_moves_on_leaves_nothing_unread(tmp_path: Path) -> None:
    """``current.log`` points to today's file; yesterday's is read to its end although nothing points to it any more."""
    link, old, new = tmp_path / "current.log", tmp_path / "app-1.txt", tmp_path / "app-2.txt"
    old.write_bytes(b"one\n")
    link.symlink_to(old)
    kept = Kept()
    run_once(config(tmp_path), kept)
    with old.open("ab") as writer:
        writer.write(b"two\n")
    new.write_bytes(b"three\n")
    link.unlink()
    link.symlink_to(new)
    run_once(config(tmp_path), kept)
    assert kept.lines == [b"one", b"two", b"three"]


def test_a_generation_missed_entirely_is_read_although_the_known_one_went_away(tmp_path: Path) -> None:
    """Rotated twice between two looks, the known one compressed at once: the one in between is still read."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        log.write_bytes(b"known\n")
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(b"known")
            # In one go, so that the input cannot look in between.
            log.unlink()
            for name in ("model.log.1", "model.log"):
                (tmp_path / name).write_bytes(name.encode() + b"\n")
            await kept.wait_for_lines(b"known", b"model.log.1", b"model.log")

    asyncio.run(scenario())


STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 40)),
    st.tuples(st.just("half"), st.integers(1, 30)),
    st.tuples(st.just("rotate"), st.none()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("breathe"), st.integers(0, 20)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEPS, min_size=1, max_size=25),
    scheme=st.sampled_from([rotate_numbers, rotate_dates]),
    seed=st.integers(0, 2**32),
)
def test_every_line_arrives_once_and_in_order_whatever_happens(
    steps: list[tuple[str, object]], scheme: Callable[[Path], None], seed: int
) -> None:
    """Writes, half lines, rotations, kills and orderly stops in any order, none waiting for another: the lines of
    each file arrive in order, each once."""
    chance = random.Random(seed)

    async def scenario(folder: Path) -> None:
        log, kept = folder / "model.log", Kept()
        expected = [b"begin"]
        log.write_bytes(b"begin\n")
        half = b""
        number = 0
        running = following(config(folder, max_line=4096), kept)
        stop = await running.__aenter__()
        await kept.wait_for_lines(b"begin")
        for what, how in steps:
            if what == "write":
                for _ in range(int(str(how))):
                    number += 1
                    line = half + b"%d %s" % (number, b"x" * chance.randrange(200))
                    expected.append(line)
                    with log.open("ab") as writer:
                        writer.write(line[len(half) :] + b"\n")
                    half = b""
            elif what == "half":
                more = b"h" * int(str(how))
                half += more
                with log.open("ab") as writer:
                    writer.write(more)
            elif what == "rotate":
                scheme(log)
                if half:
                    expected.append(half)
                    half = b""
                log.touch()
            elif what == "restart":
                if how:
                    stop.ask()
                await running.__aexit__(None, None, None)
                running = following(config(folder, max_line=4096), kept)
                stop = await running.__aenter__()
            else:
                for _ in range(int(str(how))):
                    await asyncio.sleep(0.0005)
        with log.open("ab") as writer:
            writer.write(b"\nend\n")
        expected += [half, b"end"]
        try:
            await kept.wait_for_lines(*expected)
        finally:
            await running.__aexit__(None, None, None)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


WRITER = """
import logging, logging.handlers, sys
handler = logging.handlers.RotatingFileHandler(sys.argv[1], maxBytes=int(sys.argv[3]), backupCount=1000)
handler.setFormatter(logging.Formatter("%(message)s"))
log = logging.getLogger("writer")
log.addHandler(handler)
log.setLevel("INFO")
for i in range(int(sys.argv[2])):
    log.info("%06d %s", i, "x" * (i % 300))
logging.shutdown()
"""


def test_a_real_writer_rotating_fast_is_followed_through_kills(tmp_path: Path) -> None:
    """Another process logs and rotates as fast as it can while the input is killed again and again: every line once."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"begin\n")
    total = 20_000

    async def scenario() -> None:
        async with following(config(tmp_path), kept):
            await kept.wait_for_lines(b"begin")
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(log), str(total), "100000")
        try:
            while len(kept.lines) < total + 1:
                seen = len(kept.lines)
                async with following(config(tmp_path), kept):
                    await kept.wait_until(lambda: len(kept.lines) >= min(total + 1, seen + 1500))  # noqa: B023
        finally:
            await writer.wait()
        assert writer.returncode == 0

    asyncio.run(scenario())
    assert kept.lines == [b"begin", *(b"%06d %s" % (i, b"x" * (i % 300)) for i in range(total))]
