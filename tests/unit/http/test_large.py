"""Large requests: taken apart when their turn has come, and looked at where their lines are read anyway."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import NoRoom, QueueError
from agent.form import Form
from agent.inputs.contract import Stop
from agent.inputs.http.answers import Refused
from agent.inputs.http.config import HttpConfig
from agent.inputs.http.formats import cuts_of
from agent.inputs.http.gather import LARGE_BYTES, TURNS, Gatherer
from agent.inputs.http.input import HttpInput
from agent.inputs.http.media import Media
from agent.inputs.lines import BLOCK_BYTES
from agent.pipeline import Pipeline
from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from agent.record import Batch, Counts, RunId
from tests.unit.http.serving import FakeQueue, Running, request, until
from tests.unit.http.test_requests import OBJECT, serve

LINES = "application/x-ndjson"
GOOD = [b'{"n":%d,"pad":"%b"}' % (n, b"x" * 100) for n in range(3 * BLOCK_BYTES // 100)]
EVENTS = "application/cloudevents-batch+json"


def body_of(lines: list[bytes]) -> bytes:
    """A body with each on a line."""
    return b"".join(line + b"\n" for line in lines)


def spoilt(*numbers: int) -> list[bytes]:
    """The good lines, but these are none."""
    return [b"nonsense" if number in numbers else line for number, line in enumerate(GOOD, start=1)]


@pytest.mark.parametrize("settings", [{}, {"include_lines": ["n"]}, {"on_bad_line": "refuse_all"}], ids=str)
def test_bad_lines_are_named_by_their_numbers(settings: dict[str, Any], tmp_path: Path) -> None:
    """In whichever of a body's batches they are, whoever looks at them; the good ones are taken, or none."""
    bad = (1, 3, 2500, len(GOOD) - 1, len(GOOD))
    lines = [*spoilt(*bad[:-1])[:-1], b'{"n":"%b"}' % (b"x" * 4096)]

    async def scenario(it: Running) -> None:
        answer = await it.ask(request(body_of(lines), LINES))
        said = json.loads(answer.body)
        assert answer.status == 400
        assert [error["line"] for error in said["errors"]] == list(bad)
        taken = [] if "on_bad_line" in settings else [line for n, line in enumerate(lines, start=1) if n not in bad]
        assert it.queue.lines == taken
        assert (said["accepted"], said["refused"]) == (len(taken), len(bad))
        assert sum(batch.counts.accepted for batch in it.queue.batches) == len(taken)
        await it.ask(request(body_of(GOOD), LINES))
        assert it.queue.noted("refused") == len(bad)

    serve(tmp_path, scenario, max_line=4096, **settings)


def test_no_more_than_a_few_batches_are_on_their_way(tmp_path: Path) -> None:
    """The others are not even taken apart; each is answered when all of it is in."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        asking = [asyncio.create_task(it.ask(request(body_of(GOOD), LINES))) for _ in range(2 * TURNS)]
        await until(lambda: it.queue.offered == TURNS)
        assert (await it.ask(request(OBJECT, "image/png"))).status == 415
        assert it.queue.offered == TURNS
        it.queue.drain()
        assert {(await each).body for each in asking} == {b'{"accepted":%d}' % len(GOOD)}
        assert sorted(it.queue.lines) == sorted(GOOD * 2 * TURNS)

    serve(tmp_path, scenario)


def test_who_waits_for_a_turn_waits_no_longer_than_for_room(tmp_path: Path) -> None:
    """All are answered 429 and nothing of them is in the queue; with room again they are taken."""

    async def scenario(it: Running) -> None:
        it.queue.fill()
        large = request(body_of(GOOD), LINES)
        answers = await asyncio.gather(*(it.ask(large) for _ in range(2 * TURNS)))
        assert [answer.status for answer in answers] == [429] * 2 * TURNS
        it.queue.drain()
        assert it.queue.batches == []
        assert (await it.ask(large)).status == 200
        assert it.queue.lines == GOOD

    serve(tmp_path, scenario, full_wait=0.05)


def test_a_large_body_that_is_refused_whole_is_no_trouble(tmp_path: Path) -> None:
    """That it is no body of its kind shows only when its turn has come."""

    async def scenario(it: Running) -> None:
        for _ in range(TURNS + 1):
            assert (await it.ask(request(b"[" + b"{}," * LARGE_BYTES + b"{}]", EVENTS))).status == 400
        assert (await it.ask(request(body_of(GOOD), LINES))).status == 200
        assert it.queue.lines == GOOD

    serve(tmp_path, scenario)


@pytest.mark.parametrize("body", [OBJECT, body_of(GOOD)], ids=["small", "large"])
def test_an_error_of_the_queue_ends_the_input(body: bytes, tmp_path: Path) -> None:
    """It is not the request's."""

    async def emit(batch: Batch) -> None:
        raise QueueError("broken")

    async def main() -> None:
        made, path, stop = HttpInput(HttpConfig(id="in", listen=f"unix:{tmp_path / 's'}")), tmp_path / "s", Stop()
        task = asyncio.create_task(made.run(emit, stop))
        await until(path.exists)
        asking = asyncio.create_task(Running(path, FakeQueue(), stop, task).send(request(body, LINES)))
        async with asyncio.timeout(20):
            with pytest.raises(ExceptionGroup) as caught:
                await task
            assert caught.group_contains(QueueError, match="broken")
            assert b" 200 " not in await asking

    uvloop.run(main())


def test_what_is_answered_is_what_the_queue_holds(tmp_path: Path) -> None:
    """With the real queue, and all that stands before it: of every body as many records as were accepted."""

    async def main() -> None:
        path = tmp_path / "http.sock"
        processors = (Normaliser(), partial(enrich, identity={}))
        async with open_queue(QueueConfig(path=tmp_path / "queue"), RunId().text) as queue:
            emit = Pipeline(queue, queue.run, Form.BULK).emit_through(processors, "block")
            made, stop = HttpInput(HttpConfig(id="in", listen=f"unix:{path}")), Stop()
            task = asyncio.create_task(made.run(emit, stop))
            await until(path.exists)
            it = Running(path, FakeQueue(), stop, task)
            bodies = [request(body_of(spoilt(*range(first, len(GOOD), 97))), LINES) for first in range(1, 9)]
            answers = [json.loads(answer.body) for answer in await asyncio.gather(*map(it.ask, bodies))]
            assert all(said["accepted"] + said["refused"] == len(GOOD) and said["refused"] for said in answers)
            assert queue.total == queue.counts["in"].accepted == sum(said["accepted"] for said in answers)
            stop.ask()
            await task
            assert queue.counts["in"].noted == {"refused": sum(said["refused"] for said in answers)}

    uvloop.run(main())


def test_a_body_of_nothing_but_nonsense_leaves_nothing_in_the_queue(tmp_path: Path) -> None:
    """No frame without records is written for it; what was refused is counted all the same."""

    async def main() -> None:
        path = tmp_path / "http.sock"
        async with open_queue(QueueConfig(path=tmp_path / "queue"), RunId().text) as queue:
            made, stop = HttpInput(HttpConfig(id="in", listen=f"unix:{path}")), Stop()
            task = asyncio.create_task(
                made.run(Pipeline(queue, queue.run, Form.BULK).emit_through([Normaliser()], "block"), stop)
            )
            await until(path.exists)
            answer = await Running(path, FakeQueue(), stop, task).ask(request(b"nonsense\n" * 50_000, LINES))
            assert (answer.status, json.loads(answer.body)["refused"]) == (400, 50_000)
            assert (queue.visible_seq, queue.counts, queue.has_waiting) == (0, {}, False)
            stop.ask()
            await task
            assert queue.counts["in"] == Counts(noted={"refused": 50_000})

    uvloop.run(main())


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
def test_whoever_gives_up_gives_back_the_turn(requests: list[tuple[int, bool]]) -> None:
    """Some cannot wait, some are cancelled while they wait or while they are emitted: the next is taken as ever."""

    async def main() -> None:
        queue = FakeQueue()
        queue.fill()
        gatherer = Gatherer(queue.emit)
        asking = [
            asyncio.create_task(gatherer.put_next_alone(iter([_batch()]), None if patient else 0.0))
            for _, patient in requests
        ]
        for turns in range(4):
            await asyncio.sleep(0)
            for task, (cancelled_at, patient) in zip(asking, requests, strict=True):
                if patient and cancelled_at == turns:
                    task.cancel()
        queue.drain()
        for found in await asyncio.gather(*asking, return_exceptions=True):
            assert found is None or isinstance(found, Batch | NoRoom | asyncio.CancelledError)
        async with asyncio.timeout(20):
            after = await asyncio.gather(*(gatherer.put_next_alone(iter([_batch()]), None) for _ in range(2 * TURNS)))
        assert len(after) == 2 * TURNS

    asyncio.run(main())


def _batch() -> Batch:
    return Batch("in", None, 1, [OBJECT], {}, {}, Counts(accepted=1))


@given(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=6), st.booleans())
def test_cuts_cover_a_body_line_by_line(lengths: list[int], ended: bool) -> None:
    """However long the lines, and whether the last one is ended."""
    body = b"\n".join(b"%d" % (at % 10) * length for at, length in enumerate(lengths)) + (b"\n" if ended else b"")
    cuts = list(cuts_of(body, Media.TEXT, 16 * BLOCK_BYTES, Refused()))
    assert [line for cut in cuts for line in cut.lines] == (body.removesuffix(b"\n").split(b"\n") if body else [])
    assert [0, *(cut.end for cut in cuts)] == [*(cut.begin for cut in cuts), len(body)]
