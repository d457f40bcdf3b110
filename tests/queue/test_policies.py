"""What happens when there is no room, on the real queue: shedding, lag, waiting, dropping, and nobody held up by
somebody else."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.errors import NoRoom, Retryable
from agent.form import Form
from agent.ledger import Ledger, make_ledger, read_ledger
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from agent.pipeline import Pipeline
from agent.processors.normalise import Normaliser
from agent.queue import admission
from agent.queue.config import MaxLag, QueueConfig, Shed
from agent.queue.cursor import Cursor, Range, decode_cursor, encode_cursor
from agent.queue.frame import Stored
from agent.queue.group import Entry
from agent.queue.queue import Queue, open_queue
from agent.queue.subscription import Subscription
from agent.record import Batch, Counts, Documents, Origin, record_id
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, ids

Body = Callable[[Queue], Coroutine[Any, Any, Any]]
MAX_BYTES = 1_000_000
SEGMENT_BYTES = 65536
SIZE = 50_000
TINY_LAG = MaxLag(size=SEGMENT_BYTES)
QUICK = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_age=0.0, batch_bytes=2 * SIZE)


def _config(folder: Path, **changes: Any) -> QueueConfig:
    settings = {"max_bytes": MAX_BYTES, "segment_bytes": SEGMENT_BYTES, "min_free": 0, "sync_interval": 0.001}
    return QueueConfig(path=folder, **settings | changes)


def _with_queue(config: QueueConfig, body: Body) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30), open_queue(config, RUN) as queue:
            result = await body(queue)
            assert _ledger(queue).balances
            return result

    result = asyncio.run(main())
    assert read_ledger(config.path).balances
    return result


def _ledger(queue: Queue) -> Ledger:
    return make_ledger(queue.counts, queue.total, queue.cursors)


def _large(batch: int, size: int = SIZE, name: str = "in") -> Entry:
    """One record that does not compress."""
    record = record_id(RUN, batch, 0).encode()
    noise = os.urandom(size // 2).hex().encode()  # deflates to half
    body = b'{"create":{"_id":"%s"}}\n{"n":"%s","pad":"%s%s"}\n' % (record, record, noise, noise[: size % 2])
    return Entry(
        name, [Documents("test-default", batch, 0, 1, body)], Origin(name, "s", str(batch).encode()), Counts(1, 1)
    )


def _finish(subscription: Subscription, stored: list[Stored]) -> list[str]:
    found = []
    for frame in (s.frame for s in stored):
        found += [record_id(frame.run, p.batch, p.first + i) for p in frame.parts for i in range(p.count)]
        done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
        subscription.finish(done, {"delivered": frame.count})
    return found


async def _drain(subscription: Subscription) -> list[str]:
    """Everything there is for the output, as delivered."""
    found: list[str] = []
    while subscription.queued:
        found += _finish(subscription, await subscription.read(10**6))
    return found


async def _follow(subscription: Subscription, until: str) -> list[str]:
    """Deliver what comes, up to a certain record."""
    found: list[str] = []
    while until not in found:
        found += _finish(subscription, await subscription.read(10**6))
    return found


async def _eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def _until_full(queue: Queue) -> None:
    """Until an input is held up by the full queue, and nothing is on its way to the disk."""
    await _eventually(lambda: queue.is_full and not queue.has_waiting)


async def _append_many(queue: Queue, first: int, last: int, on_full: Any = "block") -> None:
    for batch in range(first, last + 1):
        await queue.append(_large(batch), on_full)


def _all(first: int, last: int) -> list[str]:
    return [i for batch in range(first, last + 1) for i in ids(batch, 1)]


# Shedding.


def _lines(source: str, position: int, levels: list[str | None]) -> Batch:
    lines = [
        msgspec.json.encode({"message": "m", "pad": os.urandom(500).hex(), **({"level": level} if level else {})})
        for level in levels
    ]
    counts = Counts(len(lines), sum(map(len, lines)))
    return Batch("in", Origin("in", source, b"%d" % position), 0, lines, {}, {}, counts)


def _shed_all(folder: Path, shed: Shed | None, filled_with: int) -> Counts:
    """The input's counts after a batch with every level went into a queue with so many large records in it."""

    async def body(queue: Queue) -> Counts:
        queue.subscribe("out", from_oldest=True)
        await _append_many(queue, 1, filled_with)
        emit = Pipeline(queue, RUN, Form.BULK).emit_through([Normaliser()], "block")
        await emit(_lines("s", 7, ["debug", "info", "info", "warning", "error", "critical", None]))
        assert queue.positions("in")["s"] == b"7"
        return queue.counts["in"]

    counts: Counts = _with_queue(_config(folder, shed=shed), body)
    return counts


def test_above_the_fill_level_low_levels_are_dropped_first(tmp_path: Path) -> None:
    """Records below the level are counted by level and the position moves on; the others, and those without a level,
    are kept."""
    counts = _shed_all(tmp_path, Shed(below="warning", above=0.3), 20)
    assert counts.dropped == {"shed.debug": 1, "shed.info": 2}
    assert counts.kept == 20 + 4


@pytest.mark.parametrize("shed", [None, Shed(below="critical", above=0.9)], ids=["off", "not reached"])
def test_below_the_fill_level_nothing_is_dropped(tmp_path: Path, shed: Shed | None) -> None:
    """With room, and without the setting, every record is kept."""
    assert _shed_all(tmp_path, shed, 20).dropped == {}


def test_while_inputs_wait_records_are_shed_whatever_the_level(tmp_path: Path) -> None:
    """A queue that makes inputs wait counts as full, also with `above: 1`."""

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        assert not queue.is_full
        writing = asyncio.create_task(_append_many(queue, 1, 60))
        await _until_full(queue)
        assert queue.shed_below == "info"
        await asyncio.gather(writing, _follow(subscription, ids(60, 1)[0]))
        assert queue.shed_below is None

    _with_queue(_config(tmp_path, shed=Shed(below="info", above=1)), body)


# Lag.


def test_output_beyond_its_lag_loses_its_oldest_and_nobody_waits(tmp_path: Path) -> None:
    """A dead output with `max_lag` gives way: the other output gets everything, and what was dropped is counted to
    the record."""

    async def body(queue: Queue) -> None:
        dead = queue.subscribe("dead", from_oldest=True, max_lag=TINY_LAG)
        alive = queue.subscribe("alive", from_oldest=True)
        _, got = await asyncio.gather(_append_many(queue, 1, 80), _follow(alive, ids(80, 1)[0]))
        assert got == _all(1, 80)
        left = await _drain(dead)
        dropped = dead.cursor.counts["dropped.max_lag"]
        assert dropped == 80 - len(left) > 0
        assert left == _all(dropped + 1, 80)
        assert "dropped.max_lag" not in alive.cursor.counts

    _with_queue(_config(tmp_path), body)


@pytest.mark.parametrize("max_lag", [None, MaxLag(size=10 * MAX_BYTES), MaxLag(age=3600)], ids=["none", "size", "age"])
def test_output_within_its_lag_holds_everything(tmp_path: Path, max_lag: MaxLag | None) -> None:
    """Without `max_lag`, and below it, a dead output makes inputs wait and loses nothing."""

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True, max_lag=max_lag)
        writing = asyncio.create_task(_append_many(queue, 1, 60))
        await _until_full(queue)
        assert queue.used_bytes <= MAX_BYTES
        _, got = await asyncio.gather(writing, _follow(out, ids(60, 1)[0]))
        assert got == _all(1, 60)

    _with_queue(_config(tmp_path), body)


def test_lag_grows_old_while_inputs_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `max_lag.age` the dead output gives way once its oldest records are that old, though nothing else
    happens."""
    monkeypatch.setattr(admission, "ROOM_LOOK_SECS", 0.01)
    now = time.time

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True, max_lag=MaxLag(age=600))
        writing = asyncio.create_task(_append_many(queue, 1, 60))
        await _until_full(queue)
        monkeypatch.setattr("agent.queue.housekeeping.time.time", lambda: now() + 601)
        await writing
        assert out.cursor.counts["dropped.max_lag"] == 60 - len(await _drain(out))

    _with_queue(_config(tmp_path), body)


def test_lagging_output_loses_nothing_where_that_would_free_nothing(tmp_path: Path) -> None:
    """While another output, which may hold for ever, needs the same segments, dropping would be loss without gain."""

    async def body(queue: Queue) -> None:
        lagging = queue.subscribe("lagging", from_oldest=True, max_lag=TINY_LAG)
        holding = queue.subscribe("holding", from_oldest=True)
        writing = asyncio.create_task(_append_many(queue, 1, 60))
        await _until_full(queue)
        assert lagging.cursor.counts == {}
        _, got, also = await asyncio.gather(writing, _follow(holding, ids(60, 1)[0]), _follow(lagging, ids(60, 1)[0]))
        assert got == _all(1, 60)
        assert len(also) == 60 - lagging.cursor.counts.get("dropped.max_lag", 0)

    _with_queue(_config(tmp_path), body)


@pytest.mark.parametrize("patience_secs", [0.0, 0.002])
def test_who_waits_only_so_long_is_in_or_told_that_nothing_is(patience_secs: float, tmp_path: Path) -> None:
    """Whatever the queue does meanwhile: what was taken is what an output reads, and nothing of the rest."""

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True)
        taken: list[int] = []
        refused: list[int] = []

        async def put(batch: int) -> None:
            try:
                await queue.append(_large(batch), "block", patience_secs)
                taken.append(batch)
            except NoRoom:
                refused.append(batch)

        async with asyncio.TaskGroup() as tasks:
            for batch in range(1, 61):
                tasks.create_task(put(batch))
        assert taken
        assert refused
        reading = asyncio.create_task(_follow(out, ids(100, 1)[0]))
        await queue.append(_large(100), "block")
        assert sorted(await reading) == sorted([*(ids(batch, 1)[0] for batch in taken), ids(100, 1)[0]])

    _with_queue(_config(tmp_path), body)


def test_what_is_at_the_output_when_its_segment_goes_is_counted_once(tmp_path: Path) -> None:
    """Frames in flight when their segment is dropped are still delivered, and counted as that and nothing else."""

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True)
        await _append_many(queue, 1, 3)
        in_flight = [*await out.read(1), *await out.read(1)]
        await _append_many(queue, 4, 80, "drop_oldest")
        dropped = out.cursor.counts["dropped.queue_full"]
        assert out.queued == 80 - dropped
        got = _finish(out, in_flight)
        got += await _drain(out)
        assert out.cursor.counts == {"delivered": len(got), "dropped.queue_full": dropped}
        assert sorted(got) == sorted(set(got))
        assert len(got) == 80 - dropped
        assert ids(1, 1)[0] in got

    _with_queue(_config(tmp_path), body)


def test_what_was_at_the_output_when_the_process_died_is_dropped_by_the_same_reason(tmp_path: Path) -> None:
    """After a restart nobody has the frames whose segment went; they are counted as the policy that took it says."""

    async def first(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True, max_lag=TINY_LAG)
        await _append_many(queue, 1, 3)
        await out.read(1)
        await _append_many(queue, 4, 80)

    async def second(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True, max_lag=TINY_LAG)
        got = await _drain(out)
        assert out.cursor.counts == {"delivered": len(got), "dropped.max_lag": 80 - len(got)}
        assert ids(1, 1)[0] not in got

    _with_queue(_config(tmp_path), first)
    _with_queue(_config(tmp_path), second)


@pytest.mark.parametrize("max_lag", [None, TINY_LAG], ids=["queue_full", "max_lag"])
def test_output_with_a_cursor_of_its_own_agrees_after_a_restart(tmp_path: Path, max_lag: MaxLag | None) -> None:
    """An output believed before the queue's copy learns what was dropped since it last stored something, and why."""
    stored = b""

    async def first(queue: Queue) -> Cursor:
        nonlocal stored
        out = queue.subscribe("out", from_oldest=True, max_lag=max_lag)
        await _append_many(queue, 1, 3)
        _finish(out, await out.read(1))
        stored = encode_cursor(out.cursor)
        await _append_many(queue, 4, 80, "block" if max_lag else "drop_oldest")
        return out.cursor

    async def second(queue: Queue) -> Cursor:
        out = queue.subscribe("out", from_oldest=True, own_cursor=decode_cursor(stored), max_lag=max_lag)
        before: Cursor = decode_cursor(encode_cursor(out.cursor))
        await _drain(out)
        return before

    said = _with_queue(_config(tmp_path), first)
    assert sum(n for fate, n in said.counts.items() if fate.startswith("dropped.")) > 0
    learned = _with_queue(_config(tmp_path), second)
    assert learned.counts == said.counts
    assert learned.low == said.low


def test_embedded_store_agrees_after_a_restart(tmp_path: Path) -> None:
    """The store fell behind and lost records to its `max_lag`: after a restart its own cursor, the queue's and what the
    store holds say the same, and the reason is the one it was."""

    async def life(first: int, last: int) -> tuple[Cursor, dict[str, int], int]:
        config = _config(tmp_path / "queue")
        async with (
            asyncio.timeout(30),
            LocalOutput(LocalConfig(path=tmp_path / "store")) as output,
            open_queue(config, RUN) as queue,
        ):
            stored = await output.load_cursor()
            own = decode_cursor(stored) if stored is not None else None
            out = queue.subscribe("local", from_oldest=True, own_cursor=own, max_lag=TINY_LAG)
            out.before_trim = output.make_durable
            began: Cursor = decode_cursor(encode_cursor(out.cursor))
            loop = DeliveryLoop(output, queue, out, QUICK, DeadLetters(tmp_path / "dead", DeadLettersConfig()))
            running = asyncio.create_task(loop.run())
            await _append_many(queue, first, first + 9)
            await _eventually(lambda: not out.queued)
            running.cancel()
            await asyncio.wait([running])
            await _append_many(queue, first + 10, last)  # the store takes nothing any more
            assert _ledger(queue).balances
            return began, dict(out.cursor.counts), output.counts.stored

    _, ended, stored = asyncio.run(life(1, 80))
    assert ended["delivered"] == stored == 10
    assert ended["dropped.max_lag"] > 0
    began, at_last, stored = asyncio.run(life(101, 110))
    assert began.counts == ended
    assert at_last == {"delivered": 10 + stored, "dropped.max_lag": 90 - 10 - stored}
    assert read_ledger(tmp_path / "queue").balances


# Two outputs.


class _Dead(FakeOutput):
    """Answers nothing until it is healed."""

    healed = False

    async def send(self, batch: DeliveryBatch) -> Outcome:
        if not self.healed:
            self.requests.append(batch.count)
            raise Retryable("connection refused")
        return await super().send(batch)


@contextlib.asynccontextmanager
async def _delivering(queue: Queue, *outputs: FakeOutput) -> AsyncIterator[list[DeliveryLoop]]:
    loops = []
    for n, output in enumerate(outputs):
        store = DeadLetters(queue.folder / f"dead-letters-{n}", DeadLettersConfig())
        loops.append(DeliveryLoop(output, queue, queue.subscribe(str(n), from_oldest=True), QUICK, store))
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield loops
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def test_dead_output_does_not_hold_up_the_other_until_the_queue_is_full(tmp_path: Path) -> None:
    """The other output gets all that fits, the dead one's memory is bounded, and once it is healed both have got
    everything, once."""

    async def body(queue: Queue) -> None:
        dead, alive = _Dead(), FakeOutput()
        async with _delivering(queue, dead, alive) as loops:
            writing = asyncio.create_task(_append_many(queue, 1, 60))
            await _until_full(queue)
            fitted = queue.total
            assert fitted > 10
            await _eventually(lambda: len(alive.taken) == fitted)
            await _eventually(lambda: len(dead.requests) > 100)
            assert dead.taken == {}
            # Each batch is two records at most here; those in flight, and what is read ahead for the next one.
            assert len(loops[0].subscription.held) <= 2 * (QUICK.max_concurrency + 1)
            dead.healed = True
            await writing
            await _eventually(lambda: not any(loop.subscription.queued for loop in loops))
        assert sorted(dead.taken) == sorted(alive.taken) == sorted(_all(1, 60))

    _with_queue(_config(tmp_path), body)


def test_queue_full_with_every_output_dead_goes_on_when_they_heal_one_by_one(tmp_path: Path) -> None:
    """Nothing is stuck for good: one healed output takes what is there, the second makes the room."""

    async def body(queue: Queue) -> None:
        one, two = _Dead(), _Dead()
        async with _delivering(queue, one, two) as loops:
            writing = [asyncio.create_task(_append_many(queue, first, first + 19)) for first in (1, 21, 41)]
            await _until_full(queue)
            one.healed = True
            await _eventually(lambda: not loops[0].subscription.queued and not queue.has_waiting)
            two.healed = True
            await asyncio.gather(*writing)
            await _eventually(lambda: not any(loop.subscription.queued for loop in loops))
        assert sorted(one.taken) == sorted(two.taken) == sorted(_all(1, 60))

    _with_queue(_config(tmp_path), body)


# Waiting.


def test_large_batch_is_not_overtaken_for_ever_by_small_ones(tmp_path: Path) -> None:
    """A batch that needs a third of the queue is in before those that came after it, however small they are."""

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True)
        filling = asyncio.create_task(_append_many(queue, 1, 40))
        await _until_full(queue)
        order: list[str] = []

        async def append(batch: int, size: int, name: str) -> None:
            await queue.append(_large(batch, size, name), "block")
            order.append(name)

        large = asyncio.create_task(append(100, MAX_BYTES // 3, "large"))
        await asyncio.sleep(0)
        small = [asyncio.create_task(append(200 + n, 100, "small")) for n in range(50)]
        await asyncio.sleep(0)
        reading = asyncio.create_task(_follow(out, ids(249, 1)[0]))
        await asyncio.gather(large, filling, *small)
        await reading
        assert order[0] == "large"

    _with_queue(_config(tmp_path), body)


def test_room_that_somebody_waits_for_is_not_given_to_who_would_rather_drop(tmp_path: Path) -> None:
    """While an input waits in line, one with `drop_newest` drops, and one with `drop_oldest` makes room for both."""

    async def body(queue: Queue) -> None:
        out = queue.subscribe("out", from_oldest=True)
        waiting = asyncio.create_task(_append_many(queue, 1, 60))
        await _until_full(queue)
        await queue.append(_large(100, 100, "newest"), "drop_newest")
        assert queue.counts["newest"].dropped == {"queue_full": 1}
        await queue.append(_large(101, 100, "oldest"), "drop_oldest")
        assert out.cursor.counts["dropped.queue_full"] > 0
        await asyncio.gather(waiting, _follow(out, ids(60, 1)[0]))
        assert queue.counts["oldest"].dropped == {}

    _with_queue(_config(tmp_path), body)


def test_batch_larger_than_all_room_is_let_in_alone(tmp_path: Path) -> None:
    """One batch beyond `max_bytes` neither blocks the queue for ever nor is dropped."""

    async def body(queue: Queue) -> list[str]:
        out = queue.subscribe("out", from_oldest=True)
        reading = asyncio.create_task(_follow(out, ids(4, 1)[0]))
        for batch in range(1, 5):
            await queue.append(_large(batch, 5 * MAX_BYTES), "block")
        return await reading

    assert _with_queue(_config(tmp_path), body) == _all(1, 4)


def test_queue_does_not_grow_by_what_it_drops(tmp_path: Path) -> None:
    """A full queue with a dead output and `drop_newest` stays as large as it is: the counts of a thousand dropped
    batches share a frame."""

    async def body(queue: Queue) -> None:
        queue.subscribe("out", from_oldest=True)
        await _append_many(queue, 1, 60, "drop_newest")
        before = queue.used_bytes
        for batch in range(61, 1061):
            await queue.append(_large(batch, 50_000 if batch < 100 else 40_000), "drop_newest")
        assert queue.counts["in"].accepted == 1060
        assert queue.used_bytes < before + 50_000

    _with_queue(_config(tmp_path), body)
