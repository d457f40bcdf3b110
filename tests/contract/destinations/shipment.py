"""Records on their way to a destination: the real queue, the real delivery loop, and the oracle over what became of
each of them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import Output, Transactional
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import LetterFolder
from agent.delivery.dead_letters.letter import DeadLetter
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.form import Form
from agent.ledger import Ledger, make_ledger
from agent.queue.config import QueueConfig
from agent.queue.cursor import decode_cursor
from agent.queue.group import Entry
from agent.queue.queue import Queue, open_queue
from agent.queue.subscription import Subscription
from agent.record import Counts, Documents, Origin, RunId, record_id
from tests.contract.destinations.destination import Destination
from tests.fakes.batches import STREAM, document, lines_of

PATIENCE_SECS = 20.0
QUICK = DeliveryConfig(backoff_initial=0.0002, backoff_max=0.002, batch_age=0.0, batch_records=20, max_concurrency=4)
NEVER_AGAIN = msgspec.structs.replace(QUICK, backoff_initial=1e6, backoff_max=1e6)
"""A back-off that no test lives to see the end of."""


class Shipment:
    """Everything ever accepted for one destination, over as many runs of the agent as there are."""

    def __init__(self, destination: Destination, folder: Path) -> None:
        self.destination = destination
        self.folder = folder
        self.accepted: dict[str, bytes] = {}
        self.poisoned: set[str] = set()

    @asynccontextmanager
    async def run(self, config: DeliveryConfig = QUICK) -> AsyncIterator["Run"]:
        """One run of the agent, up to the end of the block: there it is cancelled, unless it was finished before."""
        queue_config = QueueConfig(path=self.folder / "queue", min_free=0, sync_interval=0.001)
        run = RunId().text
        async with self.destination.output() as output, open_queue(queue_config, run) as queue:
            assert output.id == "it"
            stored = await output.load_cursor() if isinstance(output, Transactional) else None
            own_cursor = decode_cursor(stored) if stored is not None else None
            subscription = queue.subscribe("it", from_oldest=True, own_cursor=own_cursor)
            subscription.before_trim = getattr(output, "make_durable", None)
            store = DeadLetters(self.folder / "dead", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config, store)
            running = asyncio.create_task(loop.run())
            try:
                yield Run(self, run, output, queue, subscription, loop, running)
            finally:
                running.cancel()
                await asyncio.wait([running])

    def letters(self) -> dict[str, DeadLetter]:
        """The dead letters, by id; none is there twice."""
        letters = [msgspec.json.decode(line, type=DeadLetter) for line in LetterFolder(self.folder / "dead").lines()]
        assert max(Counter(letter.id for letter in letters).values(), default=1) == 1
        return {letter.id: letter for letter in letters}

    async def assert_each_has_its_fate(self) -> None:
        """Every record is there or, if it was poisoned, a dead letter; once, where the destination can tell; and as it
        was written."""
        there, letters = Counter(await self.destination.received()), self.letters()
        assert set(letters) == self.poisoned
        assert set(there) == set(self.accepted) - self.poisoned
        if self.destination.recognises:
            assert max(there.values(), default=1) == 1
        if self.destination.keeps_documents:
            assert await self.destination.documents() == {record: self.accepted[record] for record in there}
        for record, letter in letters.items():
            assert letter.reason
            assert bytes(letter.document) == self.accepted[record]


class Run:
    """One run of the agent."""

    def __init__(
        self,
        shipment: Shipment,
        run: str,
        output: Output,
        queue: Queue,
        subscription: Subscription,
        loop: DeliveryLoop,
        running: asyncio.Task[None],
    ) -> None:
        self.output = output
        self.loop = loop
        self.subscription = subscription
        self._shipment = shipment
        self._run = run
        self._queue = queue
        self._running = running
        self._batches = 0

    async def append(
        self, count: int, *, poisoned: int | range | None = None, stream: str = STREAM, **fields: object
    ) -> list[str]:
        """Put so many records into the queue, one or some of them poisoned if need be, and return their ids."""
        self._batches += 1
        made = {}
        bad = poisoned if isinstance(poisoned, range) else [poisoned]
        for i in range(count):
            record = record_id(self._run, self._batches, i)
            made[record] = document(i, event={"id": record}, **fields)
            if i in bad:
                self._shipment.poisoned.add(record)
                self._shipment.destination.poison(record)
        form = Form(self._batches % len(Form))
        lines = lines_of(made.items(), form)
        self._shipment.accepted |= made
        origin = Origin("in", "s", f"{self._run}/{self._batches}".encode())
        documents = [Documents(stream, self._batches, 0, count, lines, form)]
        await self._queue.append(Entry("in", documents, origin, Counts(count, len(lines))), "block")
        return list(made)

    async def until_failures(self, count: int) -> None:
        """Wait until so many requests have failed, or were answered with "not now"."""
        await self._until(lambda: self._failures >= count)

    async def until_failures_or_delivered(self, count: int) -> None:
        """The same, or until nothing is left that could fail."""
        await self._until(lambda: self._failures >= count or not self.subscription.queued)

    async def until_delivered(self, left: int = 0) -> None:
        """Wait until no more than so many records are in the queue."""
        await self._until(lambda: self.subscription.queued <= left)

    async def finish(self) -> Ledger:
        """Ask it to stop, wait until it has, and return the ledger."""
        self.loop.finish()
        async with asyncio.timeout(PATIENCE_SECS):
            await self._running
        return self.ledger()

    async def cancel(self) -> None:
        """End it at once."""
        self._running.cancel()
        async with asyncio.timeout(PATIENCE_SECS):
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        assert self._running.cancelled()

    def ledger(self) -> Ledger:
        """The ledger as it is now."""
        return make_ledger(self._queue.counts, self._queue.total, self._queue.cursors)

    @property
    def _failures(self) -> int:
        return self.loop.state.failures + self.subscription.cursor.noted.get("retried", 0)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECS):
            while not condition():
                assert not self._running.done(), self._running.result()
                await asyncio.sleep(0.001)  # neither the queue nor the loop has an event for it
