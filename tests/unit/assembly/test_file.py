"""Events out of real files: rotated, cut into reads and killed at any moment, each arrives once."""

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.inputs.assembly.config import MultilineConfig
from agent.inputs.contract import Stop
from agent.inputs.file.input import FileInput
from tests.unit.assembly.blocks import BLOCKS, HEAD, PYTHON, SINGLES
from tests.unit.file.following import Kept, config, following, run_once

SLOW = MultilineConfig(flush_after=3600.0)
"""Waits for longer than any test runs: nothing is let go by time."""


def cri(line: str, stream: str, limit: int = 30) -> Iterator[str]:
    """A line as containerd writes it: in pieces of a size, the last of them marked."""
    pieces = [line[at : at + limit] for at in range(0, len(line), limit)] or [""]
    for number, piece in enumerate(pieces, start=1):
        yield f"2026-11-22T10:00:00.123456789Z {stream} {'F' if number == len(pieces) else 'P'} {piece}\n"


def by_stream(kept: Kept) -> dict[bytes, list[str]]:
    """The events that arrived, by the stream they came on, in order."""
    found: dict[bytes, list[str]] = {b'"stdout"': [], b'"stderr"': []}
    for batch in kept.batches:
        nothing = [b""] * len(batch.lines)
        for line, stream in zip(batch.lines, batch.sparse.get("log.iostream", nothing), strict=True):
            found[stream].append(line.decode())
    return found


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 30)),
        st.tuples(st.just("rotate"), st.none()),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("breathe"), st.integers(1, 10)),
    ),
    min_size=1,
    max_size=15,
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, seed=st.integers(0, 2**32), pieces=st.booleans())
def test_every_event_arrives_once_whatever_happens(
    steps: list[tuple[str, int | None]], seed: int, pieces: bool
) -> None:
    """Two interleaved streams of lines in pieces, tracebacks among them; kills and rotations between any two lines of
    an event: each stream's events arrive in order, each once. A rotation ends what is open, a kill does not."""
    chance = random.Random(seed)
    waiting: dict[str, list[str]] = {"stdout": [], "stderr": []}
    expected: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def next_line(stream: str) -> str:
        if not waiting[stream]:
            event = chance.choice([PYTHON, BLOCKS["head and python"], BLOCKS["java"], *SINGLES])
            expected[stream].append(event)
            for line in event.split("\n"):
                waiting[stream] += cri(line, stream, 30 if pieces else 1000)
        return waiting[stream].pop(0)

    async def scenario(folder: Path) -> None:
        log, kept = folder / "0.log", Kept()
        log.write_text("".join(cri("begin", "stdout")))
        expected["stdout"].append("begin")
        settings = config(folder, format="cri", multiline=SLOW)
        running = following(settings, kept)
        await running.__aenter__()
        await kept.wait_for_lines(b"begin")
        for what, how in [*steps, ("finish", None)]:
            if what == "write":
                with log.open("a") as writer:
                    for _ in range(how or 0):
                        writer.write(next_line(chance.choice(["stdout", "stderr"])))
                        writer.flush()
            elif what in ("rotate", "finish"):
                # Rotations here come between events: what they tear is tested below.
                with log.open("a") as writer:
                    for stream in waiting:
                        writer.writelines(waiting[stream])
                        waiting[stream].clear()
                if what == "rotate":
                    os.rename(log, f"{log}.{1 + len(list(folder.glob('0.log.*'))):03d}")
                    log.touch()
            elif what == "restart":
                await running.__aexit__(None, None, None)
                running = following(settings, kept)
                await running.__aenter__()
            else:
                for _ in range(how or 0):
                    await asyncio.sleep(0.001)
        await running.__aexit__(None, None, None)
        async with following(settings, kept) as stop:
            stop.ask()
        found = by_stream(kept)
        assert {stream: found[f'"{stream}"'.encode()] for stream in expected} == expected
        assert kept.count("accepted") == sum(map(len, expected.values()))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_an_open_event_survives_a_kill(tmp_path: Path, encoding: str) -> None:
    """Killed between two lines of a traceback, with the other stream's lines emitted meanwhile: nothing is doubled."""
    log, kept = tmp_path / "0.log", Kept()
    settings = config(tmp_path, format="cri", multiline=SLOW, encoding=encoding)
    lines = [record for line in PYTHON.split("\n") for record in cri(line, "stderr")]

    async def scenario() -> None:
        for at, line in enumerate(lines):
            async with following(settings, kept):
                with log.open("a", encoding=encoding) as writer:
                    writer.writelines([line, *cri(f"other {at}", "stdout")])
                await kept.wait_until(lambda: kept.lines == [b"other %d" % i for i in range(at + 1)])  # noqa: B023

    asyncio.run(scenario())
    run_once(settings, kept)
    assert kept.lines[len(lines) :] == [PYTHON.encode()]
    assert kept.count("accepted") == len(lines) + 1
    assert kept.count("bytes") == log.stat().st_size


def test_a_rotation_ends_what_is_open(tmp_path: Path) -> None:
    """The runtime begins a new file: the line in pieces and the traceback of the old one end with it, and come before
    what is in the new one."""

    async def scenario() -> None:
        log, kept = tmp_path / "0.log", Kept()
        lines = [record for line in PYTHON.split("\n") for record in cri(line, "stderr", 1000)]
        log.write_text("".join([*lines, *list(cri("x" * 90, "stdout"))[:-1]]))
        async with following(config(tmp_path, format="cri", multiline=SLOW), kept):
            await kept.wait_until(lambda: kept.positions)
            os.rename(log, tmp_path / "0.log.20261122-101500")
            log.write_text("".join(cri("new", "stdout")))
            await kept.wait_for_lines(PYTHON.encode(), b"x" * 60, b"new")

    asyncio.run(scenario())


def test_a_truncation_ends_what_is_open(tmp_path: Path) -> None:
    """What was read of the old contents is not lost with them."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        log.write_text(PYTHON + "\n" + "y" * 2000 + "\n" + HEAD + "\n")
        async with following(config(tmp_path, multiline=SLOW), kept):
            await kept.wait_for_lines(PYTHON.encode(), b"y" * 2000)
            log.write_text("new\n")
            await kept.wait_for_lines(PYTHON.encode(), b"y" * 2000, HEAD.encode(), b"new")

    asyncio.run(scenario())


def test_an_event_is_let_go_when_nothing_follows(tmp_path: Path) -> None:
    """A last line that may have a traceback waits for it, and not for ever; meanwhile the input is busy."""

    async def scenario() -> None:
        log, kept = tmp_path / "model.log", Kept()
        log.write_text(HEAD + "\n")
        settings = config(tmp_path, multiline=MultilineConfig(flush_after=0.3))
        source = FileInput(settings, {})
        task = asyncio.create_task(source.run(kept.emit, Stop()))
        await kept.wait_until(lambda: kept.positions)
        assert kept.lines == []
        assert await source.activity(0.0) == "busy"
        await kept.wait_for_lines(HEAD.encode())
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_an_open_event_comes_out_when_the_settings_have_changed(tmp_path: Path) -> None:
    """What was held by one configuration is not lost under the next, which holds nothing."""
    log, kept = tmp_path / "model.log", Kept()

    async def killed() -> None:
        log.write_text(HEAD + "\n" + PYTHON + "\n")
        async with following(config(tmp_path, multiline=SLOW), kept):
            await kept.wait_until(lambda: kept.positions)

    asyncio.run(killed())
    assert kept.lines == []
    run_once(config(tmp_path, multiline="none"), kept)
    assert kept.lines == [line.encode() for line in (HEAD + "\n" + PYTHON).split("\n")]
    run_once(config(tmp_path, multiline="none"), kept)
    assert kept.count("accepted") == len(kept.lines)


def test_lines_of_a_container_say_where_they_come_from(tmp_path: Path) -> None:
    """Pod, namespace, container and uid from the path, the time and the stream from the line."""
    folder = tmp_path / "pods" / "ml_scorer-0_1b4e28ba" / "server"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("".join(cri('{"message": "a"}', "stdout")))
    kept = Kept()
    run_once(config(tmp_path, paths=[f"{tmp_path}/pods/*/*/*.log"], format="auto"), kept)
    (batch,) = [batch for batch in kept.batches if batch.lines]
    assert batch.constants["kubernetes.pod.name"] == b'"scorer-0"'
    assert batch.constants["kubernetes.pod.uid"] == b'"1b4e28ba"'
    assert batch.sparse == {"@timestamp": [b'"2026-11-22T10:00:00.123456789Z"'], "log.iostream": [b'"stdout"']}


def test_patterns_look_at_whole_events(tmp_path: Path) -> None:
    """What is left out is an event, with what is known of it."""
    pytest.importorskip("re2")
    (tmp_path / "0.log").write_text("".join(x for line in [*PYTHON.split("\n"), "b"] for x in cri(line, "stderr")))
    kept = Kept()
    run_once(config(tmp_path, format="cri", exclude_lines=["ValueError"]), kept)
    assert kept.lines == [b"b"]
    assert kept.count("excluded") == 1
    assert [batch.sparse["log.iostream"] for batch in kept.batches if batch.lines] == [[b'"stderr"']]
