"""A disk that fails now and then, for a while, or is full: what was accepted stays, order stays, nothing is shown
before it is durable, inputs wait or drop as they are told to, and all goes on by itself."""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.ledger import make_ledger, read_ledger
from agent.queue import admission, housekeeping
from agent.queue import queue as queue_module
from agent.queue.config import OnFull, QueueConfig, Shed
from agent.queue.cursor import SLOT_BYTES, Range
from agent.queue.disk import RealDisk
from agent.queue.queue import Queue, open_queue
from tests.queue.entries import RUN, entry, ids


class FailingDisk(RealDisk):
    """Fails the n-th writes and syncs of segments it is told to, a write after half of its bytes."""

    def __init__(self, *, writes: Sequence[int] = (), syncs: Sequence[int] = (), truncate: bool = True) -> None:
        self.writes = self.syncs = 0
        self._failing_writes, self._failing_syncs, self._may_truncate = set(writes), set(syncs), truncate

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write, or fail with the disk full."""
        self.writes += 1
        if self.writes in self._failing_writes:
            data = b"".join(buffers)
            super().write(handle, [data[: len(data) // 2]], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(handle, buffers, offset)

    def sync(self, handle: int) -> None:
        """Sync, or fail."""
        self.syncs += 1
        if self.syncs in self._failing_syncs:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        """Truncate, or fail for ever."""
        if not self._may_truncate:
            raise OSError(errno.EIO, "Input/output error")
        super().truncate(handle, size)


def _through(folder: Path, disk: RealDisk, batches: int, sync: str = "interval") -> list[str]:
    """Append the batches one by one and deliver them; the record ids in the order of delivery."""

    async def main() -> list[str]:
        config = QueueConfig(path=folder, min_free=0, sync_interval=0.001, sync=sync)  # type: ignore[arg-type]
        async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
            delivering = asyncio.create_task(_deliver(queue, batches * 3))
            for batch in range(1, batches + 1):
                await queue.append(entry(batch, position=batch), "block")
            found = await delivering
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            assert ledger.outputs["out"].fates == {"delivered": batches * 3}
            assert queue.positions("in") == {"s": str(batches).encode()}
            return found

    return asyncio.run(main())


async def _deliver(queue: Queue, records: int) -> list[str]:
    subscription = queue.subscribe("out", from_oldest=True)
    found: list[str] = []
    while len(found) < records:
        for stored in await subscription.read(10**6):
            frame = stored.frame
            found += [f"{frame.run}-{part.batch:x}-{i:x}" for part in frame.parts for i in range(part.count)]
            done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
            subscription.finish(done, {"delivered": frame.count})
    return found


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "DISK_RETRY_SECS", 0.001)
    monkeypatch.setattr(queue_module, "COUNTS_SECS", 0.001)
    monkeypatch.setattr(housekeeping, "TIDY_SECS", 0.001)
    monkeypatch.setattr(admission, "ROOM_LOOK_SECS", 0.01)


@pytest.mark.parametrize("truncate", [True, False], ids=["cut back", "cannot be cut back"])
@pytest.mark.parametrize("first", range(1, 12))
def test_failed_writes_lose_and_repeat_nothing(tmp_path: Path, first: int, truncate: bool) -> None:
    """Whichever writes fail half-way, also several in a row, every record comes out once and in order."""
    disk = FailingDisk(writes=[first, first + 1, first + 4], truncate=truncate)
    assert _through(tmp_path, disk, 12) == [i for b in range(1, 13) for i in ids(b)]
    assert read_ledger(tmp_path).balances


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("first", range(1, 12))
def test_failed_syncs_lose_and_repeat_nothing(tmp_path: Path, first: int, sync: str) -> None:
    """Whichever syncs fail, what was not durable is written again, and every record comes out once and in order."""
    disk = FailingDisk(syncs=[first, first + 1, first + 4])
    assert _through(tmp_path, disk, 12, sync) == [i for b in range(1, 13) for i in ids(b)]
    assert read_ledger(tmp_path).balances


def test_segment_begins_only_behind_durable_ones(tmp_path: Path) -> None:
    """When a segment is there, everything before it has been synced: a power cut cannot take the middle."""
    order: list[str] = []

    class Watching(RealDisk):
        def create(self, path: Path) -> int:
            order.append("create")
            return super().create(path)

        def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
            order.append("write" if offset else "header")
            return super().write(handle, buffers, offset)

        def sync(self, handle: int) -> None:
            order.append("sync")
            super().sync(handle)

    async def main() -> None:
        config = QueueConfig(path=tmp_path, min_free=0, sync_interval=10, segment_bytes=1)
        async with open_queue(config, RUN, Watching()) as queue:
            for batch in range(1, 6):
                await queue.append(entry(batch), "block")

    asyncio.run(main())
    begins = [i for i, call in enumerate(order) if call == "create"]
    assert len(begins) == 5
    for i in begins[1:]:
        writes = [j for j in range(i) if order[j] == "write"]
        assert "sync" in order[writes[-1] : i]


CALLS = ("create", "write", "truncate", "sync", "sync_folder", "unlink")
"""Every call that changes something."""


class BrokenDisk(RealDisk):
    """Fails the calls in ``failing`` with their error number, a write after half of its bytes, for as long as they are
    in there."""

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.failures = 0

    def break_down(self, number: int, *calls: str) -> None:
        """From now on these calls fail."""
        self.failing = dict.fromkeys(calls, number)
        self.failures = 0

    def heal(self) -> None:
        """From now on all goes well."""
        self.failing = {}

    def _fail(self, call: str) -> None:
        number = self.failing.get(call)
        if number is not None:
            self.failures += 1
            raise OSError(number, os.strerror(number))

    def create(self, path: Path) -> int:
        """Create, or fail."""
        self._fail("create")
        return super().create(path)

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write, or fail half-way."""
        if "write" in self.failing:
            data = b"".join(buffers)
            super().write(handle, [data[: len(data) // 2]], offset)
        self._fail("write")
        return super().write(handle, buffers, offset)

    def truncate(self, handle: int, size: int) -> None:
        """Truncate, or fail."""
        self._fail("truncate")
        super().truncate(handle, size)

    def sync(self, handle: int) -> None:
        """Sync, or fail."""
        self._fail("sync")
        super().sync(handle)

    def sync_folder(self, path: Path) -> None:
        """Sync the folder, or fail."""
        self._fail("sync_folder")
        super().sync_folder(path)

    def unlink(self, path: Path) -> None:
        """Delete, or fail."""
        self._fail("unlink")
        super().unlink(path)


class SmallDisk(RealDisk):
    """A disk of ``room`` bytes for the queue's folder; may change. ``least_free`` is the lowest it ever came to by a
    write that was let through."""

    def __init__(self, folder: Path, room: int) -> None:
        self.room = room
        self.least_free = room
        self.refused = 0
        self._folder = folder

    def free(self, folder: Path) -> int:
        """What is left."""
        return max(0, self.room - sum(file.stat().st_size for file in self._folder.iterdir()))

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write what there is room for."""
        data = b"".join(buffers)
        grows = offset + len(data) - self.size(handle)
        free = self.free(self._folder)
        if grows > free:
            self.refused += 1
            super().write(handle, [data[: max(0, len(data) - (grows - free))]], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        self.least_free = min(self.least_free, free - max(0, grows))
        return super().write(handle, buffers, offset)


def _with_queue(disk: RealDisk, config: QueueConfig, body: Callable[[Queue], Coroutine[Any, Any, Any]]) -> Any:
    """Run the body on a queue with this disk; the ledger balances then, and after the end."""

    async def main() -> Any:
        async with asyncio.timeout(30), open_queue(config, RUN, disk) as queue:
            result = await body(queue)
            assert make_ledger(queue.counts, queue.total, queue.cursors).balances
            return result

    result = asyncio.run(main())
    assert read_ledger(config.path).balances
    return result


async def _eventually(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def _config(folder: Path, **changes: Any) -> QueueConfig:
    return QueueConfig(path=folder, **{"min_free": 0, "sync_interval": 0.001} | changes)


def _all(first: int, last: int) -> list[str]:
    return [i for batch in range(first, last + 1) for i in ids(batch)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    "calls",
    [("write",), ("write", "truncate"), ("sync",), ("create", "write"), ("sync_folder", "write"), CALLS],
    ids="+".join,
)
@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_disk_in_trouble_makes_inputs_wait_and_goes_on_by_itself(
    tmp_path: Path, number: int, calls: tuple[str, ...], sync: str
) -> None:
    """Whatever fails and however: nothing accepted is lost or repeated, order stays, and no one has to do anything but
    mend the disk."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        delivering = asyncio.create_task(_deliver(queue, 60))
        for batch in range(1, 6):
            await queue.append(entry(batch), "block")
        disk.break_down(number, *calls)
        writing = asyncio.gather(*(queue.append(entry(batch), "block") for batch in range(6, 11)))
        await _eventually(lambda: disk.failures > 5 or (sync == "never" and writing.done()))
        disk.heal()
        await writing
        for batch in range(11, 21):
            await queue.append(entry(batch), "block")
        assert await delivering == _all(1, 20)
        assert queue.trouble is None
        assert queue.positions("in") == {"s": b"20"}

    _with_queue(disk, _config(tmp_path, sync=sync), body)
    assert read_ledger(tmp_path).outputs["out"].fates == {"delivered": 60}


def test_segment_that_cannot_be_begun_keeps_inputs_waiting(tmp_path: Path) -> None:
    """With the first segment full and no new one to be had, what was accepted is there and the next input waits."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        delivering = asyncio.create_task(_deliver(queue, 12))
        disk.break_down(errno.ENOSPC, "create")
        writing = asyncio.create_task(queue.append(entry(1), "block"))
        await _eventually(lambda: queue.trouble == "No space left on device")
        assert not writing.done()
        disk.heal()
        for batch in range(2, 5):
            await queue.append(entry(batch), "block")
        assert await delivering == _all(1, 4)

    _with_queue(disk, _config(tmp_path, segment_bytes=1), body)


def test_cursor_that_could_not_be_written_is_written_once_it_can_be(tmp_path: Path) -> None:
    """Also when nothing more is delivered: otherwise a kill would repeat what was delivered long ago."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        await queue.append(entry(1), "block")
        (stored,) = await subscription.read(10**6)
        disk.break_down(errno.EIO, "write", "create")
        subscription.finish(Range(stored.frame.seq, stored.frame.seq, 3, 3), {"delivered": 3})
        await _eventually(lambda: disk.failures > 3)
        disk.heal()
        await _eventually(lambda: "out" in (said := read_ledger(tmp_path).outputs) and said["out"].queued == 0)
        assert read_ledger(tmp_path).outputs["out"].fates == {"delivered": 3}

    _with_queue(disk, _config(tmp_path), body)


def test_cursor_file_made_on_a_full_disk_gets_its_room_later(tmp_path: Path) -> None:
    """A cursor file whose making was cut short is made whole when there is room, so that the cursor moves on the next
    full disk."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        disk.break_down(errno.ENOSPC, "write")
        queue.subscribe("out", from_oldest=True)
        await _eventually(lambda: disk.failures > 3)
        assert (tmp_path / "cursor-out").stat().st_size < 2 * SLOT_BYTES
        disk.heal()
        await _eventually(lambda: (tmp_path / "cursor-out").stat().st_size == 2 * SLOT_BYTES)

    _with_queue(disk, _config(tmp_path), body)


def test_segment_that_cannot_be_deleted_is_deleted_once_it_can_be(tmp_path: Path) -> None:
    """A failed unlink stops neither appending nor delivering, and the room comes back later, with nobody waiting for
    it."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        disk.break_down(errno.EROFS, "unlink")
        delivering = asyncio.create_task(_deliver(queue, 30))
        for batch in range(1, 11):
            await queue.append(entry(batch), "block")
        assert await delivering == _all(1, 10)
        await _eventually(lambda: disk.failures > 3)
        assert len(list(tmp_path.glob("*.seg"))) == 10
        disk.heal()
        await _eventually(lambda: len(list(tmp_path.glob("*.seg"))) <= 2)

    _with_queue(disk, _config(tmp_path, segment_bytes=1), body)


@pytest.mark.parametrize("on_full", ["drop_newest", "drop_oldest"])
@pytest.mark.parametrize("calls", [("write",), ("sync", "write", "create"), CALLS], ids="+".join)
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_input_that_may_drop_never_waits_for_the_disk(
    tmp_path: Path, on_full: OnFull, calls: tuple[str, ...], sync: str
) -> None:
    """Not even the batch that was being written when the trouble began. What is dropped is counted and its position
    moved as soon as the disk takes anything, though no batch comes any more."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 4):
            await queue.append(entry(batch), on_full)
        disk.break_down(errno.EIO, *calls)
        for batch in range(4, 101):
            await queue.append(entry(batch), on_full)
        counts = queue.counts["in"]
        assert counts.accepted == 300
        assert counts.dropped["queue_full"] > 200
        assert make_ledger(queue.counts, queue.total, queue.cursors).balances
        disk.heal()
        await _eventually(lambda: read_ledger(tmp_path).inputs["in"].accepted == 300)
        assert read_ledger(tmp_path).inputs["in"].dropped == counts.dropped
        assert queue.positions("in") == {"s": b"100"}
        kept = 300 - counts.dropped["queue_full"]
        found: list[str] = []
        while len(found) < kept:
            for stored in await subscription.read(10**6):
                frame = stored.frame
                found += [f"{RUN}-{part.batch:x}-{i:x}" for part in frame.parts for i in range(part.count)]
                done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
                subscription.finish(done, {"delivered": frame.count})
        assert found == [i for i in _all(1, 100) if i in found]

    _with_queue(disk, _config(tmp_path, sync=sync), body)


def test_killed_in_trouble_has_neither_counts_nor_positions_of_what_it_dropped(tmp_path: Path) -> None:
    """Counts and positions of dropped records are one write: an input that can read again does, and nothing is counted
    twice."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        await queue.append(entry(1), "drop_newest")
        disk.break_down(errno.ENOSPC, "write")
        for batch in range(2, 10):
            await queue.append(entry(batch), "drop_newest")
        shutil.copytree(tmp_path / "queue", tmp_path / "killed")
        disk.heal()

    async def again(queue: Queue) -> None:
        assert queue.positions("in") == {"s": b"1"}
        assert queue.counts["in"].accepted == 3

    _with_queue(disk, _config(tmp_path / "queue"), body)
    _with_queue(RealDisk(), _config(tmp_path / "killed"), again)


def test_input_that_waits_is_not_dropped_with_one_that_does_not(tmp_path: Path) -> None:
    """In one group of batches each input's own policy holds."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        delivering = asyncio.create_task(_deliver(queue, 3))
        disk.break_down(errno.ENOSPC, "write")
        waits = asyncio.create_task(queue.append(entry(1, source="a"), "block"))
        drops = asyncio.create_task(queue.append(entry(2, source="b"), "drop_newest"))
        await drops
        assert not waits.done()
        disk.heal()
        await waits
        assert await delivering == ids(1)
        assert queue.counts["in"].dropped == {"queue_full": 3}
        assert queue.positions("in") == {"a": b"1", "b": b"2"}

    _with_queue(disk, _config(tmp_path), body)


def test_trouble_with_the_disk_sheds_as_a_full_queue_does(tmp_path: Path) -> None:
    """While the disk takes nothing, records of low levels are not even kept waiting."""
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        shedding = [queue.shed_below]
        disk.break_down(errno.EIO, "write")
        writing = asyncio.create_task(queue.append(entry(1), "block"))
        await _eventually(lambda: queue.trouble is not None)
        shedding.append(queue.shed_below)
        disk.heal()
        await writing
        assert [*shedding, queue.shed_below] == [None, "error", None]

    _with_queue(disk, _config(tmp_path, shed=Shed(below="error")), body)


def _noise(batch: int, size: int = 20_000) -> Any:
    """An entry of one record that does not compress below this."""
    made = entry(batch, 1)
    record = ids(batch, 1)[0].encode()
    made.documents[0].lines = b'{"create":{"_id":"%s"}}\n{"n":"%s"}\n' % (record, os.urandom(size).hex().encode())
    return made


def test_full_disk_with_drop_oldest_keeps_the_newest(tmp_path: Path) -> None:
    """The disk is full long before `max_bytes`: the oldest segments go, counted, and nobody waits."""
    disk = SmallDisk(tmp_path, 600_000)

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 101):
            await queue.append(_noise(batch), "drop_oldest")
        assert disk.refused > 0
        dropped = subscription.cursor.counts["dropped.queue_full"]
        found: list[str] = []
        while len(found) < 100 - dropped:
            for stored in await subscription.read(1):
                frame = stored.frame
                found += [f"{RUN}-{part.batch:x}-0" for part in frame.parts]
                done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
                subscription.finish(done, {"delivered": frame.count})
        assert found == [ids(batch, 1)[0] for batch in range(dropped + 1, 101)]
        assert queue.counts["in"].dropped == {}

    _with_queue(disk, _config(tmp_path, segment_bytes=65536), body)


def test_min_free_is_never_written_below(tmp_path: Path) -> None:
    """Inputs wait as soon as a batch might not leave that much; and go on when somebody makes room, though nothing
    else happens."""
    disk = SmallDisk(tmp_path, 600_000)

    async def body(queue: Queue) -> None:
        queue.subscribe("out", from_oldest=True)
        for batch in range(1, 101):
            appending = asyncio.create_task(queue.append(_noise(batch), "block"))
            await _eventually(lambda: appending.done() or queue.trouble is not None)  # noqa: B023
            if queue.trouble is not None:
                break
        assert "min_free" in (queue.trouble or "")
        assert 10 < batch < 100
        assert disk.least_free >= 200_000
        disk.room *= 2
        await appending
        assert queue.trouble is None

    _with_queue(disk, _config(tmp_path, segment_bytes=65536, min_free=200_000), body)
    assert disk.least_free >= 200_000


def test_full_disk_and_dead_output_recover_by_delivering(tmp_path: Path) -> None:
    """Nobody makes room on the disk but the queue itself, by delivering what it holds."""
    disk = SmallDisk(tmp_path, 600_000)

    async def body(queue: Queue) -> None:
        async def write() -> None:
            for batch in range(1, 101):
                await queue.append(_noise(batch), "block")

        writing = asyncio.create_task(write())
        await _eventually(lambda: queue.trouble is not None)
        found = await _deliver(queue, 100)
        await writing
        assert found == [ids(batch, 1)[0] for batch in range(1, 101)]

    _with_queue(disk, _config(tmp_path, segment_bytes=65536), body)


faults = st.lists(
    st.tuples(
        st.sampled_from([errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS]),
        st.sets(st.sampled_from(CALLS), min_size=1),
        st.integers(0, 4),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults,
    st.lists(st.sampled_from(["block", "drop_newest", "drop_oldest"]), min_size=1, max_size=3),
    st.sampled_from(["always", "interval", "never"]),
)
def test_whatever_fails_each_accepted_record_is_delivered_once_or_counted(
    tmp_path_factory: pytest.TempPathFactory, script: Any, policies: list[OnFull], sync: str
) -> None:
    """Any calls fail, one trouble after the other, with inputs of every policy: accepted = delivered + dropped, each
    delivered once and in the order of its input."""
    folder = tmp_path_factory.mktemp("queue")
    disk = BrokenDisk()

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        found: list[str] = []

        async def deliver() -> None:
            while True:
                for stored in await subscription.read(10**6):
                    frame = stored.frame
                    found.extend(f"{part.batch:x}" for part in frame.parts)
                    done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
                    subscription.finish(done, {"delivered": frame.count})

        async def write(which: int, policy: OnFull) -> None:
            for n in range(1, 31):
                await queue.append(entry(1000 * (which + 1) + n, source=str(which), position=n), policy)
                await asyncio.sleep(0)

        delivering = asyncio.create_task(deliver())
        writing = asyncio.gather(*(write(which, policy) for which, policy in enumerate(policies)))
        for number, calls, pause, failures in script:
            for _ in range(pause):
                await asyncio.sleep(0)
            disk.break_down(number, *calls)
            for _ in range(50):
                if disk.failures >= failures or writing.done():
                    break
                await asyncio.sleep(0.001)
            disk.heal()
        await writing
        await _eventually(lambda: queue.counts["in"].accepted == 90 * len(policies) and not subscription.queued)
        delivering.cancel()
        batches = [int(batch, 16) for batch in found]
        assert len(set(batches)) == len(batches)
        for which in range(len(policies)):
            of_input = [batch for batch in batches if batch // 1000 == which + 1]
            assert of_input == sorted(of_input)
        assert 3 * len(batches) == queue.counts["in"].kept
        assert set(queue.counts["in"].dropped) <= {"queue_full"}
        if set(policies) == {"block"}:
            assert queue.counts["in"].dropped == {}

    _with_queue(disk, _config(folder, sync=sync, segment_bytes=1), body)
    assert {int(n) for n in _positions(folder).values()} == {30}


def _positions(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = _with_queue(RealDisk(), _config(folder), _ask_positions)
    return found


async def _ask_positions(queue: Queue) -> dict[str, bytes]:
    return queue.positions("in")
