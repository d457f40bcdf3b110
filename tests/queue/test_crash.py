"""The crash matrix: power lost at every call to the disk of a scripted run, and what is found after it.

The script drives the queue as the agent does, on the event loop. For each call that changes the disk there is a run
that ends there, and for each of these several powers cuts: nothing that was not durable survives, all of it, or, by
chance, some. ``MODELTAIL_SOAK=1`` tries more of them.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.ledger import make_ledger
from agent.queue import housekeeping as housekeeping_module
from agent.queue import queue as queue_module
from agent.queue.config import OnFull, QueueConfig
from agent.queue.cursor import PREFIX, Cursor, read_cursor
from agent.queue.frame import Stored
from agent.queue.queue import Queue, open_queue
from agent.queue.state import UNKNOWN
from agent.queue.subscription import Subscription
from tests.queue.damages import finish
from tests.queue.entries import RUN, entry, ids
from tests.queue.power import PowerDisk, PowerLost

FOLDER = Path("/queue")
SEEDS = range(40 if os.environ.get("MODELTAIL_SOAK") else 5)
SOURCES = ("s", "t")
STEPS = 8
MARKER = 0x1000
OUTPUTS = ("a", "b")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "DISK_RETRY_SECS", 0.0)
    monkeypatch.setattr(housekeeping_module, "TIDY_SECS", 0.0)


class Witness:
    """What the world outside of the queue knows: what it gave, what it was promised, what it was shown."""

    def __init__(self) -> None:
        self.appended: set[str] = set()
        self.durable: set[str] = set()
        self.seen: set[str] = set()
        self.finished: dict[str, dict[int, set[str]]] = {output: {} for output in OUTPUTS}


def _batch(source: str, step: int) -> int:
    """The batch numbers of a source: 1, 2, 3 … in the one, 101, 102 … in the other."""
    return step + 100 * SOURCES.index(source)


async def _append(queue: Queue, witness: Witness, source: str, step: int, on_full: OnFull = "block") -> None:
    batch = _batch(source, step)
    made = entry(batch, 2, source=source, position=step, stream=f"{source}-default", pad=20)
    made.input = f"in-{source}"
    assert made.origin is not None
    made.origin = type(made.origin)(made.input, source, made.origin.state)
    witness.appended.update(ids(batch, 2))
    await queue.append(made, on_full)


def _finish(witness: Witness, subscription: Subscription, stored: list[Stored]) -> list[str]:
    found = []
    for one in stored:
        records = finish(subscription, [one])
        witness.finished.setdefault(subscription.output, {})[one.frame.seq] = set(records)
        found += records
    return found


async def _script(queue: Queue, witness: Witness, on_full: OnFull) -> None:
    """Two inputs, and two outputs of which one finishes out of order and one lags; or one that is dead, when the oldest
    records are to be dropped."""
    a, b = (queue.subscribe(output, from_oldest=False) for output in OUTPUTS)
    late: list[Stored] = []
    for step in range(1, STEPS + 1):
        async with asyncio.TaskGroup() as appending:
            for source in SOURCES:
                appending.create_task(_append(queue, witness, source, step, on_full))
        before = set(witness.appended)
        if step % 2:
            await queue.sync()
            witness.durable |= before
        for subscription, patience in ((a, 1), (b, 2)):
            if subscription is b and (on_full == "drop_oldest" or step % patience):
                continue
            stored = await subscription.read_now(10**6)
            for one in stored:
                witness.seen.update(f"{RUN}-{p.batch:x}-{i:x}" for p in one.frame.parts for i in range(p.count))
            if subscription is a and step % 2:
                stored, late = [*stored[1:], *late], stored[:1]
            _finish(witness, subscription, stored)
    _finish(witness, a, late)


def _config(max_bytes: int = 10**9) -> QueueConfig:
    return QueueConfig(path=FOLDER, min_free=0, sync_interval=0.0, segment_bytes=600, max_bytes=max_bytes)


def _run(disk: PowerDisk, witness: Witness, config: QueueConfig, on_full: OnFull = "block") -> bool:
    """Run the script; whether it came to its end with power."""

    async def main() -> bool:
        ended = False
        try:
            async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
                await _script(queue, witness, on_full)
            ended = True
        except* PowerLost:
            pass
        return ended

    return asyncio.run(main())


class Found:
    """What a new process finds: the cursor it goes on from, the positions, what each output gets, the ledger."""

    def __init__(self, disk: PowerDisk, config: QueueConfig) -> None:
        self.cursors: dict[str, Cursor] = {}
        self.came: dict[str, list[str]] = {}
        self.positions: dict[str, int] = {}
        self.fates: dict[str, dict[str, int]] = {}
        asyncio.run(self._open(disk, config))

    async def _open(self, disk: PowerDisk, config: QueueConfig) -> None:
        async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
            for source in SOURCES:
                self.positions[source] = int(queue.positions(f"in-{source}").get(source, b"0"))
            subscriptions = [queue.subscribe(output, from_oldest=False) for output in OUTPUTS]
            for subscription in subscriptions:
                start = subscription.cursor
                self.cursors[subscription.output] = Cursor(start.low, start.low_total, done=list(start.done))
            await queue.append(entry(MARKER), "block")
            await queue.sync()
            for subscription in subscriptions:
                came: list[str] = []
                while subscription.queued:
                    came += finish(subscription, await subscription.read_now(10**6))
                    await asyncio.sleep(0)
                assert came[-3:] == ids(MARKER)
                self.came[subscription.output] = came[:-3]
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            assert UNKNOWN not in ledger.inputs
            for output in OUTPUTS:
                self.fates[output] = ledger.outputs[output].fates
                assert ledger.outputs[output].queued == 0


def _check(before: PowerDisk, witness: Witness, found: Found) -> None:
    """The oracle. Nothing here depends on what the crash happened to leave."""
    for output in OUTPUTS:
        cursor, finished = found.cursors[output], witness.finished[output]
        behind = [seq for seq in range(1, cursor.end[0] + 1) if cursor.is_done(seq)]
        assert all(seq in finished for seq in behind), "a cursor is ahead of what was finished"
        assert _durably_done(before, output) <= set(behind), "what was durably finished would be given again"
        covered = set[str]().union(*(finished[seq] for seq in behind))
        came = found.came[output]
        assert len(came) == len(set(came)), "a record came twice"
        assert not covered & set(came), "a finished record came again"
        survivors = covered | set(came)
        assert survivors <= witness.appended, "a record came that nobody gave"
        assert witness.durable <= survivors, "a record is gone that was durable"
        assert witness.seen <= survivors, "a record is gone that an output has seen"
        for source in SOURCES:
            there = {int(record.split("-")[1], 16) for record in survivors} & _batches(source)
            assert there == {b for b in _batches(source) if b <= _batch(source, found.positions[source])}
            order = [b for b in (int(record.split("-")[1], 16) for record in came) if b in _batches(source)]
            assert order == sorted(order), "records came out of order"
        assert set(found.fates[output]) <= {"delivered"}


def _batches(source: str) -> set[int]:
    return {_batch(source, step) for step in range(1, STEPS + 1)}


def _durably_done(disk: PowerDisk, output: str) -> set[int]:
    content = disk.durable_content(FOLDER / f"{PREFIX}{output}")
    if content is None:
        return set()
    copy = PowerDisk()
    copy.replace(FOLDER / "cursor", content)
    handle = copy.open(FOLDER / "cursor")
    found = read_cursor(copy, handle)
    if found is None:
        return set()
    return {seq for seq in range(1, found[0].end[0] + 1) if found[0].is_done(seq)}


def _crashes(config: QueueConfig, on_full: OnFull = "block") -> Iterator[tuple[PowerDisk, Witness]]:
    """A run for every call to the disk, with the power lost at it; the last one ends with power."""
    at, done = 0, False
    while not done:
        at += 1
        disk, witness = PowerDisk(), Witness()
        disk.lose_power_at = at
        done = _run(disk, witness, config, on_full)
        yield disk, witness
    assert {"create", "write", "sync", "sync_folder", "unlink"} <= set(disk.made)


def test_every_call_to_the_disk_may_be_the_last() -> None:
    """Whenever the power goes: what was durable is there, once and in order; what an output saw is never un-written;
    positions fit the records that survived; cursors are not ahead of what was finished; the ledger balances."""
    for disk, witness in _crashes(_config()):
        for seed in SEEDS:
            _check(disk, witness, Found(disk.after_power_cut(seed), _config()))


def test_every_call_to_the_disk_may_be_the_last_while_the_oldest_are_dropped() -> None:
    """The same with a dead output in a full queue that drops the oldest: what is gone has its count, the rest is there
    once."""
    config = _config(max_bytes=3000)
    dropped = 0
    for disk, witness in _crashes(config, "drop_oldest"):
        for seed in SEEDS:
            found = Found(disk.after_power_cut(seed), _config())
            for output in OUTPUTS:
                came = found.came[output]
                assert len(came) == len(set(came))
                assert set(came) <= witness.appended
                assert set(found.fates[output]) <= {"delivered", "dropped.queue_full"}
                dropped += found.fates[output].get("dropped.queue_full", 0)
            for source in SOURCES:
                durable = {int(r.split("-")[1], 16) for r in witness.durable} & _batches(source)
                assert all(b <= _batch(source, found.positions[source]) for b in durable)
    assert dropped


def test_every_call_to_the_disk_may_fail() -> None:
    """Whichever call fails, and the one behind it: the run goes on to its end, nothing is lost, and a power cut after
    it finds all that was durable."""
    at, calls = 1, 1
    while at <= calls:
        disk, witness = PowerDisk(), Witness()
        disk.failing = {at, at + 1}
        assert _run(disk, witness, _config())
        calls = disk.calls
        witness.durable |= witness.appended  # the queue was closed in peace
        for seed in SEEDS:
            _check(disk, witness, Found(disk.after_power_cut(seed), _config()))
        at += 1
