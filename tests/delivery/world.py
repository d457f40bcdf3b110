"""A world for the delivery of records: a server that misbehaves by plan, an agent's queue, loop and output, real HTTP
in between, and the oracle over what became of every record."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import LetterFolder
from agent.delivery.dead_letters.letter import DeadLetter
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.ledger import Ledger, make_ledger
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from agent.queue.config import QueueConfig
from agent.queue.group import Entry
from agent.queue.queue import Queue, open_queue
from agent.record import Counts, Documents, Origin, RunId, record_id
from tests.fakes import faults
from tests.fakes.batches import STREAM, document
from tests.fakes.elasticsearch import BeforeReading, FakeElasticsearch, Fault

NAME = f"logs-{STREAM}"
EXAMPLE_SECS = 60.0
"""A plan that is not over by then hangs; the longest takes a few seconds."""
IMPATIENT_SECS, PATIENT_SECS = 0.3, 30.0
MAX_BODY_BYTES = 20_000


class Trouble(msgspec.Struct, frozen=True):
    """One fault as it is drawn: its name in ``tests.fakes.faults`` and what it is given. Prints as itself."""

    name: str
    given: dict[str, Any] = {}
    inner: "Trouble | None" = None

    @property
    def needs_timeout(self) -> bool:
        """Whether only our own time limit ends it."""
        if self.inner is not None and self.inner.needs_timeout:
            return True
        return self.name == "says_nothing" or (self.name == "drips" and self.given["pause_secs"] > IMPATIENT_SECS / 10)

    def fault(self) -> Fault | BeforeReading:
        """The fault to be played."""
        make: Callable[..., Fault | BeforeReading] = getattr(faults, self.name)
        return make(**self.given, then=self.inner.fault()) if self.inner is not None else make(**self.given)


class Plan(msgspec.Struct, frozen=True):
    """What is sent, in batches of records of these sizes in bytes (negative: refused for their content), how, and what
    happens to it."""

    batches: list[list[int]]
    batch_records: int = 1000
    max_concurrency: int = 4
    too_large: str = "dead_letter"
    script: list[Trouble] = []
    pipeline: str | None = None
    max_body: int = MAX_BODY_BYTES


class Watched(ElasticsearchOutput):
    """The output, with an eye on how many requests it is asked for at a time."""

    at_once = most_at_once = 0

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """As ever."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super().send(batch)
        finally:
            self.at_once -= 1


class World:
    """A plan's server, folder and accepted records, over as many runs of the agent as there are."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.server = FakeElasticsearch(max_body=plan.max_body)
        self.accepted: list[str] = []
        self.most_at_once = 0
        self._batch = 0

    async def run(
        self, batches: list[list[int]], script: list[Trouble], *, ends_after: int | None = None, is_killed: bool = False
    ) -> Ledger | None:
        """One run of the agent: append, deliver until all has a fate, drain. Or, after so many requests, be cancelled
        at once; and, killed, leave the queue's folder as it was at that moment, cursor included."""
        impatient = any(trouble.needs_timeout for trouble in self.plan.script)
        config = ElasticsearchConfig(
            id="es",
            hosts=[self.server.url],
            pipeline=self.plan.pipeline,
            request_timeout=IMPATIENT_SECS if impatient else PATIENT_SECS,
            delivery=DeliveryConfig(
                backoff_initial=0.0002,
                backoff_max=0.001,
                batch_age=0.0,
                batch_bytes=8192,
                batch_records=self.plan.batch_records,
                max_concurrency=self.plan.max_concurrency,
                too_large=self.plan.too_large,  # type: ignore[arg-type]  # drawn from the two
            ),
        )
        run = RunId().text
        self.server.faults.extend(trouble.fault() for trouble in script)
        goal = None if ends_after is None else len(self.server.requests) + ends_after
        queue_config = QueueConfig(path=self.folder / "queue", min_free=0, sync_interval=0.001)
        output = Watched(config)
        async with open_queue(queue_config, run) as queue, output:
            subscription = queue.subscribe("es", from_oldest=True)
            store = DeadLetters(self.folder / "dead", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config.delivery, store)
            running = asyncio.create_task(loop.run())
            for sizes in batches:
                await self._append(queue, run, sizes)
            while subscription.queued and (goal is None or len(self.server.requests) < goal):
                assert not running.done(), running.result()
                await asyncio.sleep(0.001)  # the queue has no event for "empty"
            if goal is None:
                loop.finish()
                await running
            else:
                if is_killed:
                    shutil.copytree(self.folder / "queue", self.folder / "at-death")
                running.cancel()
                await asyncio.wait([running])
            self.most_at_once = max(self.most_at_once, output.most_at_once)
            ledger = make_ledger(queue.counts, queue.total, queue.cursors) if goal is None else None
        if is_killed:
            shutil.rmtree(self.folder / "queue")
            (self.folder / "at-death").rename(self.folder / "queue")
        return ledger

    async def _append(self, queue: Queue, run: str, sizes: list[int]) -> None:
        self._batch += 1
        lines = []
        for i, size in enumerate(sizes):
            record = record_id(run, self._batch, i)
            self.accepted.append(record)
            content = document(i, pad="x" * size) if size > 0 else b'{"no":"time","pad":"%s"}' % (b"x" * -size)
            lines.append(b'{"create":{"_id":"%s"}}\n%s\n' % (record.encode(), content))
        documents = [Documents(STREAM, self._batch, 0, len(sizes), b"".join(lines))]
        origin = Origin("in", "s", str(self._batch).encode())
        await queue.append(Entry("in", documents, origin, Counts(len(sizes), len(sizes))), "block")

    def dead_letters(self) -> list[DeadLetter]:
        """All that were written."""
        lines = LetterFolder(self.folder / "dead").lines()
        return [msgspec.json.decode(line, type=DeadLetter) for line in lines]

    def assert_each_record_is_in_one_place(self) -> None:
        """The oracle."""
        letters = self.dead_letters()
        assert all(letter.reason and letter.document for letter in letters)
        there = Counter(record for record, _ in self.server.documents(NAME))
        there.update(letter.id for letter in letters)
        there.update(self.server.failure_store)
        assert there == Counter(self.accepted)


def play(plan: Plan, story: Callable[[World], Any]) -> None:
    """Let a story happen in the world of a plan."""

    async def go(folder: Path) -> None:
        world = World(plan, folder)
        async with asyncio.timeout(EXAMPLE_SECS), world.server:
            await story(world)

    with tempfile.TemporaryDirectory(prefix="modeltail-adversary-") as folder:
        asyncio.run(go(Path(folder)))
