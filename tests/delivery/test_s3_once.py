"""Every record is in the bucket once: whatever S3 answers, wherever the agent dies, however the next one cuts.

The output and its look-ups are the real ones, over a bucket in memory that loses answers, takes puts late and kills the
agent before or after any request. The one thing it spares us is a put of a dead agent that S3 takes after the next one
looked, which the module names as what remains.
"""

import asyncio
import os
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch
from agent.errors import NoAnswer, Retryable
from agent.form import Form
from agent.outputs.s3.config import S3Config
from agent.outputs.s3.contents import documents_in
from agent.outputs.s3.output import S3Output
from agent.queue.frame import Frame
from agent.record import RunId, record_id
from tests.fakes.batches import frame_of
from tests.fakes.objects import Death, FakeObjects, Fault

SOAK = 20 if os.environ.get("MODELTAIL_SOAK") else 1
STREAM = "modeltail.inference-default"
MOST_ATTEMPTS = 200
TIMES = (
    "2026-11-22T10:00:00Z",
    "2026-11-22T10:59:59.999999999Z",
    "2026-11-22T11:00:00Z",
    "2026-11-22T12:30:00+01:00",
    "1970-01-01T00:30:00+01:00",
    "no time",
)

Content = tuple[int, int]
"""A record: which of ``TIMES``, and how long."""


class Plan(msgspec.Struct, frozen=True):
    """Frames as they lie in the queue (batch number, its records), how each life of the agent cuts them, in which order
    it sends, how many batches at a time, and what becomes of the requests."""

    frames: list[tuple[int, list[Content]]]
    cuts: list[int]
    at_once: int
    splits: list[bool]
    faults: list[Fault]
    format: str = "ndjson.gz"


class World:
    """The queue, the bucket, and the lives of the agent."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.bucket = FakeObjects()
        self.bucket.faults.extend(plan.faults)
        self.accepted: dict[str, bytes] = {}
        self.run = RunId(0, bytes(8)).text
        self.waiting: list[tuple[Frame, bytes]] = []
        self._frames = list(enumerate(plan.frames))
        self._cuts = plan.cuts or [1]
        self._splits = list(plan.splits)

    def append(self, count: int) -> None:
        """The agent of now writes its next frames, with ids of its own run."""
        for seq, (number, contents) in self._frames[:count]:
            ids = [record_id(self.run, number, i) for i in range(len(contents))]
            documents = [
                b'{"@timestamp":"%s","message":"%s","event":{"id":"%s"}}'
                % (TIMES[time].encode(), b"x" * size, record.encode())
                for record, (time, size) in zip(ids, contents, strict=True)
            ]
            self.accepted |= zip(ids, documents, strict=True)
            times = {TIMES[time] for time, _ in contents}
            hours = {time[:13] for time in times if time.endswith("Z")}
            form = Form(number % len(Form))
            hour = hours.pop() if len(hours) == 1 and all(time.endswith("Z") for time in times) else ""
            frame, body = frame_of(self.run, number, documents, form=form, hour=hour)
            frame.seq = seq
            self.waiting.append((frame, body))
        del self._frames[:count]

    async def live(self, life: int) -> None:
        """One life: append, cut, send all, until it dies."""
        self.run = RunId((life + 1) * 10**6, bytes(8)).text
        last = not self.bucket.faults
        self.append(len(self._frames) if last else max(1, len(self._frames) // 2))
        batches, start, turn = [], 0, life
        while start < len(self.waiting):
            size = self._cuts[turn % len(self._cuts)]
            batches.append(self.waiting[start : start + size])
            start, turn = start + size, turn + 1
        slots = asyncio.Semaphore(self.plan.at_once)
        finished: list[int] = []
        config = S3Config(bucket="b", prefix="logs", format=self.plan.format)  # type: ignore[arg-type]  # one of the two
        try:
            async with S3Output(config, self.bucket) as output, asyncio.TaskGroup() as group:
                for stored in batches:
                    group.create_task(self._deliver(output, stored, slots, finished))
        except* Death:
            # What was finished last was not yet written down: it is sent again by the next one.
            finished = finished[: len(finished) // 2]
        self.waiting = [entry for entry in self.waiting if entry[0].seq not in finished]

    async def _deliver(
        self, output: S3Output, stored: list[tuple[Frame, bytes]], slots: asyncio.Semaphore, finished: list[int]
    ) -> None:
        async with slots:
            batch = DeliveryBatch(STREAM, [frame for frame, _ in stored], [body for _, body in stored])
            batch.in_doubt = any(frame.run != self.run for frame, _ in stored)
            parts = [(batch, True)]
            for _ in range(MOST_ATTEMPTS):
                if not parts:
                    break
                part, is_new = parts.pop()
                if part.count > 1 and is_new and self._splits and self._splits.pop():  # as after ``TooLarge``
                    part.in_doubt = True
                    middle = part.count // 2
                    parts += [(part.subset(half), True) for half in (range(middle), range(middle, part.count))]
                    continue
                try:
                    await output.send(part)
                except Retryable as trouble:
                    part.in_doubt |= isinstance(trouble, NoAnswer)
                    part.attempt += 1
                    parts.append((part, False))
            assert not parts, "never delivered"
            finished += [frame.seq for frame, _ in stored]

    def there(self) -> list[bytes]:
        """Every document in the bucket."""
        return [document for key, body in self.bucket.objects.items() for document in documents_in(key, body)]


contents = st.lists(st.tuples(st.sampled_from(range(len(TIMES))), st.sampled_from([1, 50])), min_size=1, max_size=5)
one_hour = st.lists(st.tuples(st.just(0), st.sampled_from([9, 9, 70_000])), min_size=1, max_size=5)
plans = st.builds(
    Plan,
    # A batch number is given once, but they do not always lie in order.
    frames=st.lists(
        st.tuples(st.integers(1, 40), contents | one_hour), min_size=1, max_size=10, unique_by=lambda f: f[0]
    ),
    cuts=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    at_once=st.integers(1, 4),
    splits=st.lists(st.booleans(), max_size=6),
    faults=st.lists(
        st.sampled_from(["none", "none", "refused", "lost", "late", "dies before", "dies after"]), max_size=30
    ),
    format=st.sampled_from(["ndjson.gz", "ndjson.gz", "parquet"]),
)


@settings(max_examples=300 * SOAK)
@given(plans)
def test_every_record_is_there_once(plan: Plan) -> None:
    """Byte for byte, in exactly one object."""

    async def story() -> World:
        world = World(plan)
        life = 0
        while True:
            await world.live(life)
            world.bucket.settle()
            life += 1
            if not world.waiting and not world._frames:
                return world
            assert life < MOST_ATTEMPTS, "never done"

    world = asyncio.run(story())
    assert Counter(world.there()) == Counter(world.accepted.values())


def test_without_leave_to_list_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    """What is in doubt is sent again: it may be there twice, and a line says so once."""
    world = World(Plan([(number, [(0, 1)] * 4) for number in range(1, 5)], [2], 1, [], ["dies after"]))
    world.bucket.may_list = False

    async def story() -> None:
        await world.live(0)
        world.plan.cuts[:] = [1]  # cut as before, the same names would be taken
        await world.live(1)

    asyncio.run(story())
    assert set(world.there()) == set(world.accepted.values())
    assert len(world.there()) > len(world.accepted)
    assert caplog.text.count("cannot be looked up") == 1
