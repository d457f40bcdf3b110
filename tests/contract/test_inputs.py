"""What every input does, whatever it reads: one suite over all of them."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from agent.inputs.contract import Stop
from agent.record import MAX_BATCH_RECORDS, Batch
from tests.contract.sources import SOURCES, Source

PATIENCE_SECS = 20.0


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[[type[Source]], Source]]:
    """Makes a source, and closes it at the end."""
    with ExitStack() as closing:

        def make(kind: type[Source]) -> Source:
            source = kind(tmp_path)
            closing.callback(source.close)
            return source

        yield make


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, made: Callable[[type[Source]], Source]) -> Source:
    """Each kind of source in turn."""
    return made(request.param)


class Queue:
    """Takes batches while there is room; remembers positions as the real one does."""

    def __init__(self, source: Source) -> None:
        self._lines = source.lines
        self.batches: list[Batch] = []
        self.positions: dict[str, bytes] = {}
        self.waiting = 0
        self.most_waiting = 0
        self.full = False

    async def emit(self, batch: Batch) -> None:
        """Wait for room, then keep the batch and its position together."""
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            while self.full:
                await asyncio.sleep(0.001)
        finally:
            self.waiting -= 1
        self.batches.append(batch)
        if batch.origin is not None:
            self.positions[batch.origin.source] = batch.origin.state

    @property
    def lines(self) -> list[bytes]:
        """All lines taken, as they were written."""
        return [line for batch in self.batches for line in self._lines(batch)]

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not condition():
                await asyncio.sleep(0.001)


async def run_over(source: Source, data: bytes, queue: Queue, **settings: object) -> None:
    """Write, ask to stop, and run the input to its end. Where nobody keeps what is written before the input runs, it is
    written to the running input, which is asked when something came."""
    stop = Stop()
    async with asyncio.timeout(PATIENCE_SECS):
        if source.keeps:
            source.write(data)
            stop.ask()
            await source.input({}, **settings).run(queue.emit, stop)
        else:
            task = asyncio.create_task(source.input({}, **settings).run(queue.emit, stop))
            source.write(data)
            await queue.wait_for(lambda: queue.batches)
            stop.ask()
            await task


def test_expects_something_until_something_came(source: Source) -> None:
    """Before anything was written no input counts as idle, neither before it runs nor then: the model may be slow."""

    async def scenario() -> None:
        queue, stop = Queue(source), Stop()
        asked = source.input({})
        assert await asked.activity(0) != "idle"
        task = asyncio.create_task(asked.run(queue.emit, stop))
        for _ in range(50):
            assert await asked.activity(0) != "idle"
            await asyncio.sleep(0.001)
        stop.ask()
        await task

    asyncio.run(scenario())


def test_waits_when_told_to_wait(source: Source) -> None:
    """While the queue has no room one batch waits and no second is offered; then everything arrives in order."""

    async def scenario() -> None:
        queue, stop = Queue(source), Stop()
        queue.full = True
        task = asyncio.create_task(source.input({}).run(queue.emit, stop))
        source.write(b"one\n")
        await queue.wait_for(lambda: queue.waiting)
        source.write(b"two\nthree\n")
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert queue.lines == []
        queue.full = False
        await queue.wait_for(lambda: queue.lines == [b"one", b"two", b"three"])
        assert queue.most_waiting == 1
        stop.ask()
        async with asyncio.timeout(PATIENCE_SECS):
            await task

    asyncio.run(scenario())


def test_stops_when_asked_after_reading_what_is_there(source: Source) -> None:
    """Asked to stop, an input first takes what has been written already."""

    async def scenario() -> None:
        queue = Queue(source)
        await run_over(source, b"line\n" * 5000, queue)
        assert queue.lines == [b"line"] * 5000
        assert max(len(batch.lines) for batch in queue.batches) <= MAX_BATCH_RECORDS

    asyncio.run(scenario())


def test_stops_at_once_while_idle(source: Source) -> None:
    """An idle input needs nobody to write before it notices."""

    async def scenario() -> None:
        queue, stop = Queue(source), Stop()
        source.write(b"line\n")
        task = asyncio.create_task(source.input({}, linger=0.01).run(queue.emit, stop))
        await queue.wait_for(lambda: queue.lines)
        stop.ask()
        async with asyncio.timeout(PATIENCE_SECS):
            await task

    asyncio.run(scenario())


@pytest.mark.parametrize("waiting", [False, True])
def test_stops_when_cancelled(source: Source, *, waiting: bool) -> None:
    """Idle or with a batch waiting for room: cancelling ends it, and leaves no task, thread or descriptor behind that
    would disturb the next."""

    async def scenario() -> None:
        queue = Queue(source)
        queue.full = waiting
        task = asyncio.create_task(source.input({}).run(queue.emit, Stop()))
        source.write(b"line\n")
        await queue.wait_for(lambda: queue.waiting if waiting else queue.lines)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = set(os.listdir("/proc/self/fd"))
    asyncio.run(scenario())
    deadline = time.monotonic() + PATIENCE_SECS
    while not set(os.listdir("/proc/self/fd")) <= before:  # whoever writes may have an end of its own to close
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_error_of_the_queue_ends_the_input(source: Source) -> None:
    """It is not mistaken for trouble with the source: nothing is read on past a batch that was not taken."""

    async def scenario() -> None:
        async def broken(_: Batch) -> None:
            raise OSError(5, "the queue's disk is gone")

        source.write(b"line\n")
        with pytest.RaisesGroup(OSError, flatten_subgroups=True):
            async with asyncio.timeout(PATIENCE_SECS):
                await source.input({}).run(broken, Stop())

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind.of_lines])
def test_counts_what_it_takes_and_what_it_drops(kind: type[Source], made: Callable[[type[Source]], Source]) -> None:
    """Accepted lines are those taken from the source; those left out are counted by reason; bytes are the source's."""
    source = made(kind)

    async def scenario() -> None:
        queue = Queue(source)
        data = b"keep\ndrop\n\nkeep\r\n" + b"z" * 100 + b"\n"
        await run_over(source, data, queue, exclude_lines=["^drop$"], max_line=64)
        counts = [batch.counts for batch in queue.batches]
        assert queue.lines == [b"keep", b"", b"keep", b"z" * 64]
        assert sum(c.accepted for c in counts) == 5
        assert sum(c.kept for c in counts) == len(queue.lines)
        assert sum(c.dropped.get("excluded", 0) for c in counts) == 1
        assert sum(c.noted.get("truncated", 0) for c in counts) == 1
        assert sum(c.bytes for c in counts) == source.size(data)

    asyncio.run(scenario())


def test_labels_are_on_every_batch(source: Source) -> None:
    """The operator's labels ride along as constants, as JSON text."""

    async def scenario() -> None:
        queue = Queue(source)
        await run_over(source, b"line\n", queue, labels={"team": 'fr"aud'})
        assert [batch.constants["labels.team"] for batch in queue.batches] == [b'"fr\\"aud"']

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind.of_lines])
def test_survives_garbage(kind: type[Source], made: Callable[[type[Source]], Source]) -> None:
    """Any bytes are lines: NULs, broken UTF-8, lone carriage returns, what looks like a bulk action."""
    source = made(kind)
    garbage = bytes(range(256)).replace(b"\n", b"") + b"\r\r"
    lines = [b"\xff", garbage, b"\x00" * 5000, b"\xff\xfe", b'{"create":{}}', b"\xed\xa0\x80"]

    async def scenario() -> None:
        queue = Queue(source)
        await run_over(source, b"\n".join(lines) + b"\n", queue)
        assert queue.lines == [b"\xff", garbage[:-1], *lines[2:]]

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind.resumes])
def test_resumes_where_its_batches_ended(kind: type[Source], tmp_path: Path) -> None:
    """After a kill with a batch still waiting, a new input gives exactly what the queue does not have."""
    source = kind(tmp_path)

    async def scenario() -> None:
        queue = Queue(source)
        source.write(b"one\ntwo\n")
        task = asyncio.create_task(source.input({}).run(queue.emit, Stop()))
        await queue.wait_for(lambda: len(queue.lines) == 2)
        queue.full = True
        source.write(b"three\n")
        await queue.wait_for(lambda: queue.waiting)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        queue.full = False
        source.write(b"four\n")
        stop = Stop()
        stop.ask()
        await source.input(dict(queue.positions)).run(queue.emit, stop)
        assert queue.lines == [b"one", b"two", b"three", b"four"]

    asyncio.run(scenario())
