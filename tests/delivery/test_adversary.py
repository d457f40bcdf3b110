"""The scripted adversary: whatever an Elasticsearch does to our requests, every record ends in one place.

The real queue, delivery loop, output and HTTP run against the fake, which plays a random script of faults; when the
script is over all goes well. Then every record is exactly once in the data stream over all its backing indices, or in
the failure store, or in the dead-letter store with a reason; never in two of them, never in none.

``MODELTAIL_SOAK=1`` plays twenty times as many scripts.
"""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters import DeadLetter, DeadLetters, DeadLettersConfig
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
SOAK = 20 if os.environ.get("MODELTAIL_SOAK") else 1
EXAMPLE_SECS = 60.0
"""A script that is not over by then hangs; the longest takes a few seconds."""
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
    batch_records: int
    max_concurrency: int
    too_large: str
    script: list[Trouble]


def _trouble(name: str, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Trouble]:
    return st.builds(Trouble, st.just(name), st.fixed_dictionaries(given))


INDEXES = st.integers(0, 7)
NOT_NOW = st.sampled_from([403, 404, 429, 500, 503])
# What leaves open how much was taken, so that some of it may have been.
unknown = st.one_of(
    _trouble("refuses", status=st.sampled_from([400, 413, 500, 502, 503]), reason=st.just("no")),
    _trouble("hangs_up", taken=st.booleans(), half_answered=st.booleans()),
    _trouble("restarts", taken=st.booleans()),
    _trouble("says_nothing", taken=st.booleans()),
)
whole = st.one_of(
    unknown,
    _trouble("refuses", status=st.sampled_from([401, 403, 404, 415, 429]), reason=st.just("no")),
    _trouble("refuses", status=st.sampled_from([429, 503]), retry_after=st.sampled_from(["0", "1", "3600", "soon"])),
    _trouble("refuses", status=st.sampled_from([301, 302, 307]), location=st.just("http://127.0.0.1:1/")),
    _trouble(
        "answers", status=st.sampled_from([200, 502]), body=st.sampled_from([b"<html>welcome</html>", b"", b"{}"])
    ),
)
by_item = st.one_of(
    _trouble("fails_items", items=st.dictionaries(INDEXES, st.sampled_from([400, 413]) | NOT_NOW, min_size=1)),
    _trouble("fails_items_it_took", items=st.dictionaries(INDEXES, st.sampled_from([500, 503]), min_size=1)),
    _trouble("reorders_items", items=st.dictionaries(INDEXES, NOT_NOW), seed=st.integers(0, 3)),
    _trouble("forgets_item"),
)
while_sending = _trouble(
    "hangs_up_while_reading",
    after_bytes=st.sampled_from([0, 100, 5000]),
    status=st.none() | st.just(413),
)
slow = st.one_of(
    _trouble("drips", pause_secs=st.just(0.001)),
    _trouble("drips", pause_secs=st.just(IMPATIENT_SECS / 5)),
    _trouble("calls_it", content_type=st.sampled_from(["text/html", "text/plain"])),
)
rollover = st.builds(
    Trouble,
    st.just("rolls_over"),
    st.fixed_dictionaries({"taken_before": st.sampled_from([0.0, 0.5, 1.0])}),
    st.none() | unknown,
)
failure_store = _trouble("stores_failures", indexes=st.sets(INDEXES, min_size=1))
SIZES = st.sampled_from([60, 60, 60, 700, 3000, 25_000, -60, -700])


def plans(trouble: st.SearchStrategy[Trouble]) -> st.SearchStrategy[Plan]:
    """Plans with this kind of trouble."""
    return st.builds(
        Plan,
        batches=st.lists(st.lists(SIZES, min_size=1, max_size=12), min_size=1, max_size=5),
        batch_records=st.sampled_from([1, 5, 1000]),
        max_concurrency=st.integers(1, 4),
        too_large=st.sampled_from(["dead_letter", "truncate"]),
        script=st.lists(trouble, max_size=12),
    )


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
        self.server = FakeElasticsearch(max_body=MAX_BODY_BYTES)
        self.accepted: list[str] = []
        self.most_at_once = 0
        self._batch = 0

    async def run(
        self, batches: list[list[int]], script: list[Trouble], *, ends_after: int | None = None
    ) -> Ledger | None:
        """One run of the agent: append, deliver until all has a fate, drain. Or, after so many bulk requests, be
        cancelled at once."""
        impatient = any(trouble.needs_timeout for trouble in self.plan.script)
        config = ElasticsearchConfig(
            id="es",
            hosts=[self.server.url],
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
                running.cancel()
                await asyncio.wait([running])
            self.most_at_once = max(self.most_at_once, output.most_at_once)
            return make_ledger(queue.counts, queue.total, queue.cursors) if goal is None else None

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
        files = DeadLetters(self.folder / "dead", DeadLettersConfig()).files()
        return [msgspec.json.decode(line, type=DeadLetter) for path in files for line in path.read_bytes().splitlines()]

    def assert_each_record_is_in_one_place(self) -> None:
        """The oracle."""
        letters = self.dead_letters()
        assert all(letter.reason and letter.document for letter in letters)
        there = Counter(record for record, _ in self.server.documents(NAME))
        there.update(letter.id for letter in letters)
        there.update(self.server.failure_store)
        assert there == Counter(self.accepted)


def _play(plan: Plan, story: Callable[[World], Any]) -> None:
    async def play(folder: Path) -> None:
        world = World(plan, folder)
        async with asyncio.timeout(EXAMPLE_SECS), world.server:
            await story(world)

    with tempfile.TemporaryDirectory(prefix="modeltail-adversary-") as folder:
        asyncio.run(play(Path(folder)))


@settings(max_examples=120 * SOAK)
@given(plans(whole | by_item | while_sending | slow | rollover | failure_store))
def test_every_record_is_in_one_place_whatever_the_server_does(plan: Plan) -> None:
    """Nothing lost, nothing doubled, the ledger adds up, the cap is kept, and nothing is asked without end."""

    async def story(world: World) -> None:
        ledger = await world.run(plan.batches, plan.script)
        world.assert_each_record_is_in_one_place()
        assert ledger is not None
        assert ledger.balances
        fates = ledger.outputs["es"].fates
        assert sum(fates.values()) == len(world.accepted)
        assert fates.get("dead_lettered", 0) == len(world.dead_letters())
        assert world.most_at_once <= plan.max_concurrency
        if not any(trouble.needs_timeout for trouble in plan.script):
            assert len(world.server.bulks) <= _most_requests(plan)

    _play(plan, story)


def _most_requests(plan: Plan) -> int:
    """How many bulk requests may come of a plan. Each record may have to be sent alone for its size, then refused and
    sent rescued, then cut; and so again after each fault, which itself costs at most what halving costs."""
    records = sum(map(len, plan.batches))
    return 4 * records + 2 * len(plan.batches) + 8 * len(plan.script)


@settings(max_examples=40 * SOAK)
@given(
    plans(
        whole | while_sending | rollover | _trouble("fails_items_it_took", items=st.dictionaries(INDEXES, st.just(503)))
    ),
    st.lists(st.integers(1, 8), min_size=1, max_size=3),
)
def test_every_record_is_in_one_place_over_restarts(plan: Plan, ends: list[int]) -> None:
    """The agent ends in the middle of it, again and again, without draining, and the stream rolls over before it is
    back: what it did not finish is sent again, and is there once."""

    async def story(world: World) -> None:
        share = len(plan.script) // (len(ends) + 1)
        for i, end in enumerate(ends):
            await world.run(plan.batches[i::2], plan.script[i * share : (i + 1) * share], ends_after=end)
            world.server.rollover(NAME)
        ledger = await world.run([[60]], plan.script[len(ends) * share :])
        world.assert_each_record_is_in_one_place()
        assert ledger is not None
        assert ledger.balances

    _play(plan, story)
