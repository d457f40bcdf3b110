"""Rotated files that were compressed: never taken for new, read when asked, each line once."""

import asyncio
import gzip
import os
import random
import shutil
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inputs.file.generation import DamagedError
from agent.inputs.file.packed import PackedFile
from tests.unit.file.following import Kept, config, following, run_once

LINES = [b"%05d a line of a log that is long enough to tell it from others" % i for i in range(20_000)]
TEXT = b"\n".join(LINES) + b"\n"


def compress(path: Path, *, keep_time: bool = True) -> Path:
    """As gzip(1) does it; or as the kubelet does, whose copies are dated by their making."""
    found = path.stat()
    made = Path(f"{path}.gz")
    with gzip.open(f"{path}.gz.tmp", "wb", compresslevel=1) as packed:
        packed.write(path.read_bytes())
    if keep_time:
        os.utime(f"{path}.gz.tmp", ns=(found.st_atime_ns, found.st_mtime_ns))
    os.rename(f"{path}.gz.tmp", made)
    path.unlink()
    return made


@given(
    content=st.binary(max_size=3000),
    reads=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 3500)), min_size=1, max_size=12),
    members=st.integers(1, 3),
)
def test_reads_are_those_of_the_text(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, reads: list[tuple[int, int]], members: int
) -> None:
    """At any place, in any order, also of a file put together of several compressed ones."""
    path = tmp_path_factory.getbasetemp() / "text.gz"
    part = len(content) // members + 1
    path.write_bytes(b"".join(gzip.compress(content[i * part : (i + 1) * part]) for i in range(members)))
    packed = PackedFile(str(path))
    for count, offset in reads:
        assert packed.read(count, offset) == content[offset : offset + count]
    assert packed.check() == len(content)
    assert packed.left(len(content)) == 0


@given(at=st.floats(0, 1, exclude_max=True), change=st.sampled_from(["cut", "flip", "more"]))
@settings(max_examples=50)
def test_damage_is_found(tmp_path_factory: pytest.TempPathFactory, at: float, change: str) -> None:
    """Cut short, changed anywhere, or something else behind it: the check never passes other text than was packed."""
    text = random.Random(1).randbytes(2000).hex().encode()
    whole = gzip.compress(text, mtime=0)
    place = int(at * len(whole))
    flipped = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
    content = {"cut": whole[:place], "flip": flipped, "more": whole + b"junk"}[change]
    path = tmp_path_factory.getbasetemp() / "damaged.gz"
    path.write_bytes(content)
    packed = PackedFile(str(path))
    try:
        length = packed.check()
    except DamagedError:
        return
    # An empty file has nothing in it, and a few bytes of the header (its time, the system) do not matter.
    assert packed.read(length, 0) == (text if content else b"")


def test_a_bomb_costs_time_only(tmp_path: Path) -> None:
    """200 MB of NULs and one line of 200 MB in 200 kB each: a few MB of memory, one marked record."""
    for name, filler in (("model.log.2.gz", b"\0"), ("model.log.1.gz", b"x")):
        with gzip.open(tmp_path / name, "wb", compresslevel=6) as packed:
            for _ in range(200):
                packed.write(filler * 1_000_000)
            packed.write(b"\nafter\n")
    kept = Kept()
    tracemalloc.start()
    try:
        run_once(config(tmp_path, paths=[f"{tmp_path}/model.log*"], read_gzip=True), kept)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(line) for line in kept.lines] == [0, 5, 1024**2, 5]
    assert peak < 16 * 1024**2


@pytest.mark.parametrize("keep_time", [True, False])
@pytest.mark.parametrize("read", [1, 50, 20_000])
def test_a_file_compressed_while_down_is_read_on(tmp_path: Path, read: int, *, keep_time: bool) -> None:
    """From the middle of it, at the byte where reading had stopped; what was read before is not read again."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"\n".join(LINES[:read]) + b"\n")
    run_once(config(tmp_path, read_gzip=True), kept)
    log.write_bytes(TEXT + b"last words")
    os.rename(log, f"{log}.1")
    compress(Path(f"{log}.1"), keep_time=keep_time)
    log.write_bytes(b"next\n")
    for _ in range(3):
        run_once(config(tmp_path, read_gzip=True), kept)
    assert kept.lines == [*LINES, b"last words", b"next"]
    offsets = [int(text) for batch in kept.batches for text in batch.columns["log.offset"]]
    assert offsets[:20_001] == [i * len(LINES[0] + b"\n") for i in range(20_001)]


@pytest.mark.parametrize("keep_time", [True, False])
def test_several_generations_compressed_while_down_are_read_in_order(tmp_path: Path, *, keep_time: bool) -> None:
    """The known one from where it was left, later ones whole, the newest rotated one not compressed yet."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(b"read\n")
    run_once(config(tmp_path, read_gzip=True), kept)
    with log.open("ab") as writer:
        writer.write(b"unread\n")
    for day in range(4):
        os.utime(log, (2_000_000_000 + day, 2_000_000_000 + day))
        os.rename(log, f"{log}-2026112{day}")
        if day:
            made = compress(Path(f"{log}-2026112{day - 1}"), keep_time=keep_time)
            if not keep_time:
                os.utime(made, (2_000_000_000 + day, 2_000_000_000 + day))
        log.write_bytes(b"day %d\n" % day)
    for _ in range(3):
        run_once(config(tmp_path, read_gzip=True), kept)
    assert kept.lines == [b"read", b"unread", *(b"day %d" % day for day in range(4))]


@pytest.mark.parametrize("listed", [False, True])
def test_a_file_compressed_while_followed_is_not_new(tmp_path: Path, *, listed: bool) -> None:
    """Rotated, read, compressed, one after the other, with the input at work or restarted in between."""
    log, kept = tmp_path / "model.log", Kept()
    paths = [f"{tmp_path}/model.log*"] if listed else [str(log)]
    quick = config(tmp_path, paths=paths, read_gzip=True, partial_after=0.05)

    async def scenario() -> None:
        expected: list[bytes] = []
        for number in range(6):
            async with following(quick, kept):
                log.write_bytes(b"line %d\n" % number)
                expected.append(b"line %d" % number)
                await kept.wait_for_lines(*expected)
                os.rename(log, f"{log}-2026112{number}")
                if number % 2:
                    compress(Path(f"{log}-2026112{number}"))
            if not number % 2:
                compress(Path(f"{log}-2026112{number}"))

    asyncio.run(scenario())
    for _ in range(2):
        run_once(quick, kept)
    assert kept.lines == [b"line %d" % number for number in range(6)]


def test_the_only_file_compressed_in_place_is_not_new(tmp_path: Path) -> None:
    """A job's log, packed by its script when the job is over: its lines came already."""
    log, kept = tmp_path / "job-17.log", Kept()
    quick = config(tmp_path, paths=[f"{tmp_path}/*.log*"], read_gzip=True, partial_after=0.05)

    async def scenario() -> None:
        log.write_bytes(b"begin\nend\n")
        async with following(quick, kept):
            await kept.wait_for_lines(b"begin", b"end")
            compress(log)
            (tmp_path / "other.log").write_bytes(b"another\n")
            await kept.wait_for_lines(b"begin", b"end", b"another")

    asyncio.run(scenario())
    for _ in range(2):
        run_once(quick, kept)
    assert kept.lines == [b"begin", b"end", b"another"]


def test_a_compressed_copy_does_not_replace_the_open_file(tmp_path: Path) -> None:
    """Compressed while the queue was full: what is still read from the open file, late lines included, is not read
    again from the copy."""
    log, kept = tmp_path / "model.log", Kept()

    async def scenario() -> None:
        log.write_bytes(TEXT)
        kept.room.clear()
        with log.open("ab", buffering=0) as writer:
            async with following(config(tmp_path, read_gzip=True, partial_after=0.2), kept):
                await kept.wait_until(lambda: kept.waiting)
                os.rename(log, f"{log}.1")
                log.write_bytes(b"next\n")
                compress(Path(f"{log}.1"))
                writer.write(b"late\n")
                kept.room.set()
                await kept.wait_for_lines(*LINES, b"late", b"next")

    asyncio.run(scenario())
    for _ in range(2):
        run_once(config(tmp_path, read_gzip=True), kept)
    assert kept.lines == [*LINES, b"late", b"next"]


def test_reading_a_compressed_file_goes_on_after_a_kill(tmp_path: Path) -> None:
    """In the middle of it, again and again: every line once, in order."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(LINES[0] + b"\n")
    run_once(config(tmp_path, read_gzip=True), kept)
    log.write_bytes(TEXT)
    os.rename(log, f"{log}.1")
    compress(Path(f"{log}.1"))
    log.write_bytes(b"next\n")

    async def scenario() -> None:
        while len(kept.lines) < len(LINES) + 1:
            seen = len(kept.lines)
            async with following(config(tmp_path, read_gzip=True), kept):
                await kept.wait_until(lambda: len(kept.lines) > seen)  # noqa: B023

    asyncio.run(scenario())
    assert kept.lines == [*LINES, b"next"]


def test_a_copy_made_before_truncation_and_compressed_is_read_on(tmp_path: Path) -> None:
    """copytruncate with compress: lines that are in the compressed copy only are taken from it, once."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(TEXT)
    run_once(config(tmp_path, read_gzip=True), kept)
    with log.open("ab") as writer:
        writer.write(b"only in the copy\n")
    shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)
    compress(Path(f"{log}.1"))
    with log.open("ab") as writer:
        writer.write(b"new\n")
    for _ in range(2):
        run_once(config(tmp_path, read_gzip=True), kept)
    assert kept.lines == [*LINES, b"only in the copy", b"new"]


@pytest.mark.parametrize("old", [False, True])
def test_a_broken_copy_is_reported_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture, *, old: bool) -> None:
    """Said once, when it has not changed for a while; nothing of it becomes a record, and the others are read on."""
    log, kept = tmp_path / "model.log", Kept()
    settings_ = config(tmp_path, paths=[f"{tmp_path}/model.log*"], read_gzip=True)
    (tmp_path / "model.log.1.gz").write_bytes(gzip.compress(TEXT)[:-300])
    if old:
        os.utime(tmp_path / "model.log.1.gz", (1_700_000_000, 1_700_000_000))

    async def scenario() -> None:
        log.write_bytes(b"here\n")
        async with following(settings_, kept):
            await kept.wait_for_lines(b"here")
            for number in range(3):
                (tmp_path / f"model.log-other{number}").touch()
                with log.open("ab") as writer:
                    writer.write(b"more\n")
                await kept.wait_for_lines(b"here", *[b"more"] * (number + 1))

    asyncio.run(scenario())
    assert caplog.text.count("A compressed file is damaged") == int(old)
    assert kept.lines == [b"here", *[b"more"] * 3]


def test_compressed_files_alone_are_read_when_the_pattern_names_them(tmp_path: Path) -> None:
    """An archive of a past week, oldest first, with the path of the log its lines were written to; once."""
    for number in (3, 2, 1):
        path = tmp_path / f"model.log.{number}"
        path.write_bytes(b"week %d\n" % number)
        os.utime(path, (1_700_000_000 - number, 1_700_000_000 - number))
        compress(path)
    (tmp_path / "archive.gz").write_bytes(gzip.compress(b"archived\n"))
    kept = Kept()
    for _ in range(2):
        run_once(config(tmp_path, paths=[f"{tmp_path}/model.log*", f"{tmp_path}/*.gz"], read_gzip=True), kept)
    assert sorted(kept.lines) == [b"archived", b"week 1", b"week 2", b"week 3"]
    assert [line for line in kept.lines if line != b"archived"] == [b"week 3", b"week 2", b"week 1"]
    paths = {batch.constants["log.file.path"] for batch in kept.batches if batch.lines}
    assert paths == {f'"{tmp_path}/model.log"'.encode(), f'"{tmp_path}/archive.gz"'.encode()}


def test_compressed_siblings_are_not_read_on_a_first_start(tmp_path: Path) -> None:
    """No more than other rotated files, unless the pattern names them."""
    log, kept = tmp_path / "model.log", Kept()
    (tmp_path / "model.log.1.gz").write_bytes(gzip.compress(b"old\n"))
    log.write_bytes(b"live\n")
    run_once(config(tmp_path, read_gzip=True), kept)
    assert kept.lines == [b"live"]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(["write", "rotate", "compress", "stop", "kill", "breathe"]), min_size=1, max_size=25
    ),
    seed=st.integers(0, 2**32),
    keep_time=st.booleans(),
)
def test_every_line_arrives_once_whatever_is_rotated_and_compressed(
    steps: list[str], seed: int, *, keep_time: bool
) -> None:
    """Writes, rotations, the oldest rotated file compressed, kills and orderly stops in any order."""
    chance = random.Random(seed)

    async def scenario(folder: Path) -> None:
        log, kept = folder / "model.log", Kept()
        expected, number, rotated = [b"begin"], 0, 0
        log.write_bytes(b"begin\n")
        quick = config(folder, read_gzip=True, partial_after=0.01)
        running = following(quick, kept)
        stop = await running.__aenter__()
        await kept.wait_for_lines(b"begin")
        for what in steps:
            if what == "write":
                with log.open("ab") as writer:
                    for _ in range(chance.randrange(1, 30)):
                        number += 1
                        expected.append(b"%d %s" % (number, b"x" * chance.randrange(100)))
                        writer.write(expected[-1] + b"\n")
            elif what == "rotate" and rotated < 8:
                rotated += 1
                os.rename(log, f"{log}-202611{10 + rotated}")
                log.touch()
            elif what == "compress" and (plain := sorted(p for p in folder.glob("model.log-*") if p.suffix != ".gz")):
                compress(plain[0], keep_time=keep_time)
            elif what in ("stop", "kill"):
                if what == "stop":
                    stop.ask()
                await running.__aexit__(None, None, None)
                running = following(quick, kept)
                stop = await running.__aenter__()
            else:
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0.0005)
        with log.open("ab") as writer:
            writer.write(b"end\n")
        expected.append(b"end")
        try:
            await kept.wait_until(lambda: len(kept.lines) >= len(expected))
        finally:
            await running.__aexit__(None, None, None)
        async with following(quick, kept) as stop:
            stop.ask()
        assert sorted(kept.lines) == sorted(expected)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))
