"""The queue as inputs and outputs meet it: order, acknowledgement, restart, room, damage."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.errors import QueueError
from agent.ledger import make_ledger, read_ledger
from agent.queue.config import QueueConfig
from agent.queue.cursor import Range
from agent.queue.frame import Stored, documents_in
from agent.queue.queue import Queue, open_queue
from agent.queue.subscription import Subscription
from tests.queue.entries import RUN, entry, ids

Body = Callable[[Queue], Coroutine[Any, Any, Any]]


def _config(folder: Path, **changes: Any) -> QueueConfig:
    return QueueConfig(path=folder, min_free=0, sync_interval=0.001, **changes)


def _with_queue(config: QueueConfig, body: Body) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(20), open_queue(config, RUN) as queue:
            return await body(queue)

    return asyncio.run(main())


def _finish(subscription: Subscription, stored: list[Stored]) -> list[str]:
    """Finish the frames as delivered and return their record ids, as the documents themselves have them."""
    found = []
    for s in stored:
        frame = s.frame
        lines = documents_in(frame, s.body)
        found += [line.split(b'"')[3].decode() for line in lines]
        subscription.finish(
            Range(frame.seq, frame.seq, frame.count, frame.total + frame.count), {"delivered": frame.count}
        )
    return found


async def _take(subscription: Subscription, count: int, max_bytes: int = 10**6) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        found += _finish(subscription, await subscription.read(max_bytes))
    return found


@pytest.mark.parametrize("sync", ["always", "interval", "never"])
def test_records_come_out_in_order_under_each_sync_policy(tmp_path: Path, sync: str) -> None:
    """What is appended is read back once, in order."""

    async def body(queue: Queue) -> list[str]:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 20):
            await queue.append(entry(batch), "block")
        return await _take(subscription, 57)

    assert _with_queue(_config(tmp_path, sync=sync), body) == [i for b in range(1, 20) for i in ids(b)]


def test_appends_that_wait_together_share_a_frame(tmp_path: Path) -> None:
    """Batches of one data stream waiting at the same moment become one frame."""

    async def body(queue: Queue) -> int:
        subscription = queue.subscribe("out", from_oldest=True)
        await asyncio.gather(*(queue.append(entry(b, 1, source=str(b)), "block") for b in range(1, 101)))
        stored = await subscription.read(10**6)
        assert sum(s.frame.count for s in stored) == 100
        assert len(queue.positions("in")) == 100
        return len(stored)

    assert _with_queue(_config(tmp_path), body) <= 3


def test_positions_and_records_survive_a_restart(tmp_path: Path) -> None:
    """A new process knows the position behind the last record, and delivers what was not delivered, once."""

    async def first(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 6):
            await queue.append(entry(batch, position=batch * 100), "block")
        stored = await subscription.read(1)
        _finish(subscription, stored[:1])

    async def second(queue: Queue) -> list[str]:
        assert queue.positions("in") == {"s": b"500"}
        subscription = queue.subscribe("out", from_oldest=False)
        await queue.append(entry(6), "block")
        return await _take(subscription, 15)

    config = _config(tmp_path)
    _with_queue(config, first)
    assert _with_queue(config, second) == [i for b in range(2, 7) for i in ids(b)]
    ledger = read_ledger(tmp_path)
    assert ledger.balances
    assert ledger.outputs["out"].fates == {"delivered": 18}
    assert ledger.inputs["in"].accepted == 18


def test_restart_far_into_a_segment_finds_its_place(tmp_path: Path) -> None:
    """Frames finished before the restart are passed over however large they are: what is left is still found."""

    async def first(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 31):
            await queue.append(entry(batch, pad=1000), "block")
        stored: list[Stored] = []
        while len(stored) < 30:
            stored += await subscription.read(10**6)
        _finish(subscription, stored[:29])

    async def second(queue: Queue) -> list[str]:
        return _finish(subscription := queue.subscribe("out", from_oldest=False), await subscription.read_now(1000))

    _with_queue(_config(tmp_path), first)
    assert _with_queue(_config(tmp_path), second) == ids(30)


def test_forgotten_source_is_not_remembered(tmp_path: Path) -> None:
    """An origin with an empty state removes the position, also across a restart."""

    async def first(queue: Queue) -> None:
        await queue.append(entry(1, source="a"), "block")
        gone = entry(2, 0, source="a")
        assert gone.origin is not None
        gone.origin = type(gone.origin)("in", "a", b"")
        await queue.append(gone, "block")
        assert queue.positions("in") == {}

    async def second(queue: Queue) -> dict[str, bytes]:
        return queue.positions("in")

    _with_queue(_config(tmp_path), first)
    assert _with_queue(_config(tmp_path), second) == {}


def test_new_output_starts_at_now_unless_told(tmp_path: Path) -> None:
    """`from: now` skips what is there; `from: oldest` does not."""

    async def body(queue: Queue) -> tuple[list[str], list[str]]:
        keeper = queue.subscribe("keeper", from_oldest=True)
        await queue.append(entry(1), "block")
        late, oldest = queue.subscribe("late", from_oldest=False), queue.subscribe("old", from_oldest=True)
        await queue.append(entry(2), "block")
        assert len(await _take(keeper, 6)) == 6
        result = await _take(late, 3), await _take(oldest, 6)
        ledger = make_ledger(queue.counts, queue.total, queue.cursors)
        assert ledger.balances
        assert ledger.outputs["late"].before == 3
        return result

    late, oldest = _with_queue(_config(tmp_path), body)
    assert late == ids(2)
    assert oldest == ids(1) + ids(2)


def test_second_agent_on_the_folder_is_refused(tmp_path: Path) -> None:
    """The folder is held by one agent; the second gets a sentence that says what to do."""

    async def body(_: Queue) -> None:
        with pytest.raises(QueueError, match=r"in use by another modeltail.*queue\.path"):
            async with open_queue(_config(tmp_path), RUN):
                pass

    _with_queue(_config(tmp_path), body)


def test_full_queue_makes_append_wait_until_something_is_delivered(tmp_path: Path) -> None:
    """With `block` nothing is dropped: the append returns once an output made room."""
    config = _config(tmp_path, max_bytes=1_000_000, segment_bytes=65536)

    async def body(queue: Queue) -> int:
        subscription = queue.subscribe("out", from_oldest=True)
        written = 0

        async def write() -> None:
            nonlocal written
            for batch in range(1, 41):
                await queue.append(_incompressible(batch), "block")
                written += 1

        writing = asyncio.create_task(write())
        before = -1
        while before != written or written == 0:
            before = written
            await asyncio.sleep(0.05)
        assert written < 40
        assert queue.used_bytes <= 1_000_000
        assert len(await _take(subscription, 40)) == 40
        await writing
        return written

    assert _with_queue(config, body) == 40


def _incompressible(batch: int) -> Any:
    import os

    from agent.record import Documents, record_id

    made = entry(batch, 1)
    record = record_id(RUN, batch, 0).encode()
    body = b'{"create":{"_id":"%s"}}\n{"n":"%s","pad":"%s"}\n' % (record, record, os.urandom(50_000).hex().encode())
    made.documents = [Documents("test-default", batch, 0, 1, body)]
    return made


def test_drop_newest_counts_what_it_drops(tmp_path: Path) -> None:
    """With `drop_newest` the append returns at once, the position moves, and the ledger balances at any moment."""
    config = _config(tmp_path, max_bytes=1_000_000, segment_bytes=65536)

    async def body(queue: Queue) -> None:
        queue.subscribe("out", from_oldest=True)
        for batch in range(1, 41):
            await queue.append(_incompressible(batch), "drop_newest")
        counts = queue.counts["in"]
        assert counts.accepted == 40
        assert 0 < counts.dropped["queue_full"] < 40
        assert queue.total == 40 - counts.dropped["queue_full"]
        assert make_ledger(queue.counts, queue.total, queue.cursors).balances

    async def again(queue: Queue) -> None:
        assert queue.positions("in") == {"s": b"40"}
        assert queue.counts["in"].accepted == 40
        assert make_ledger(queue.counts, queue.total, queue.cursors).balances

    _with_queue(config, body)
    _with_queue(config, again)


def test_drop_oldest_counts_what_it_drops_for_each_output(tmp_path: Path) -> None:
    """With `drop_oldest` the newest records stay, and each output's count says what it missed."""
    config = _config(tmp_path, max_bytes=1_000_000, segment_bytes=65536)

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 41):
            await queue.append(_incompressible(batch), "drop_oldest")
        dropped = subscription.cursor.counts["dropped.queue_full"]
        assert 0 < dropped < 40
        left = await _take(subscription, 40 - dropped)
        assert left[-1] == ids(40, 1)[0]
        assert subscription.queued == 0
        assert make_ledger(queue.counts, queue.total, queue.cursors).balances

    _with_queue(config, body)
    assert read_ledger(tmp_path).balances


def test_delivered_segments_are_deleted_but_the_newest_sealed_one(tmp_path: Path) -> None:
    """Room is given back once every output is through; one sealed segment stays for its positions."""
    config = _config(tmp_path, max_bytes=10_000_000, segment_bytes=65536)

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 31):
            await queue.append(_incompressible(batch), "block")
        assert len(list(tmp_path.glob("*.seg"))) > 10
        await _take(subscription, 30)

    _with_queue(config, body)
    assert 1 <= len(list(tmp_path.glob("*.seg"))) <= 2


def _three_frames(folder: Path) -> Path:
    async def body(queue: Queue) -> None:
        for batch in range(1, 4):
            await queue.append(entry(batch, position=batch), "block")

    _with_queue(_config(folder), body)
    (segment,) = folder.glob("*.seg")
    return segment


def _starts(segment: Path) -> list[int]:
    """Where its frames begin: the three, and the one that every process leaves at its end."""
    data, mark = segment.read_bytes(), bytes.fromhex(segment.name[22:38])
    return [i for i in range(len(data)) if data.startswith(mark, i)][-4:]


def _read_all(folder: Path) -> tuple[list[str], int]:
    """Every record that a new output gets, and how many it was told are damaged."""

    async def body(queue: Queue) -> tuple[list[str], int]:
        subscription = queue.subscribe("fresh", from_oldest=True)
        await queue.append(entry(99), "block")
        found: list[str] = []
        while ids(99)[-1] not in found:
            found += _finish(subscription, await subscription.read(10**6))
        assert make_ledger(queue.counts, queue.total, queue.cursors).outputs["fresh"].balances
        return found[:-3], subscription.cursor.counts.get("damaged", 0)

    result: tuple[list[str], int] = _with_queue(_config(folder), body)
    return result


def test_torn_tail_keeps_earlier_frames(tmp_path: Path) -> None:
    """A segment cut anywhere in its last frame gives the frames before it, and the position behind those."""
    segment = _three_frames(tmp_path)
    data = segment.read_bytes()
    segment.write_bytes(data[: _starts(segment)[3] - 5])

    async def position(queue: Queue) -> dict[str, bytes]:
        return queue.positions("in")

    assert _with_queue(_config(tmp_path), position) == {"s": b"2"}
    assert _read_all(tmp_path) == (ids(1) + ids(2), 0)


def test_damaged_middle_frame_costs_only_itself(tmp_path: Path) -> None:
    """A flipped bit in the second frame loses its three records, says so, and keeps the rest."""
    segment = _three_frames(tmp_path)
    data = bytearray(segment.read_bytes())
    data[_starts(segment)[1] + 60] ^= 1
    segment.write_bytes(data)
    assert _read_all(tmp_path) == (ids(1) + ids(3), 3)


def test_damaged_header_keeps_every_frame(tmp_path: Path) -> None:
    """A segment whose header is destroyed still gives its frames: the mark is in the file's name."""
    segment = _three_frames(tmp_path)
    data = bytearray(segment.read_bytes())
    data[:20] = bytes(20)
    segment.write_bytes(data)
    assert _read_all(tmp_path)[0] == ids(1) + ids(2) + ids(3)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"garbage" * 5000])
def test_garbage_segment_does_not_stop_the_start(tmp_path: Path, content: bytes) -> None:
    """An empty, zeroed or garbage segment is passed over."""
    _three_frames(tmp_path)
    (tmp_path / "00000000000000ff-0000-0011223344556677.seg").write_bytes(content)
    assert _read_all(tmp_path)[0] == ids(1) + ids(2) + ids(3)


@pytest.mark.parametrize("content", [b"", b"\0" * 16384, b"garbage" * 3000])
def test_garbage_cursor_starts_at_the_oldest_record(tmp_path: Path, content: bytes) -> None:
    """An unreadable cursor repeats rather than loses."""
    _three_frames(tmp_path)
    (tmp_path / "cursor-out").write_bytes(content)

    async def body(queue: Queue) -> list[str]:
        return await _take(queue.subscribe("out", from_oldest=False), 9)

    assert _with_queue(_config(tmp_path), body) == ids(1) + ids(2) + ids(3)


def test_sequence_never_goes_back_even_when_the_segments_are_gone(tmp_path: Path) -> None:
    """With every segment deleted by hand, the cursor still keeps sequence and total."""

    async def deliver(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        for batch in range(1, 4):
            await queue.append(entry(batch), "block")
        await _take(subscription, 9)

    async def again(queue: Queue) -> tuple[int, list[str]]:
        subscription = queue.subscribe("out", from_oldest=False)
        await queue.append(entry(4), "block")
        return queue.total, await _take(subscription, 3)

    _with_queue(_config(tmp_path), deliver)
    for segment in tmp_path.glob("*.seg"):
        segment.unlink()
    assert _with_queue(_config(tmp_path), again) == (12, ids(4))
