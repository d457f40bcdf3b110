"""Receipts say which ids a deleted segment gave, whatever else happens to them."""

import asyncio
import errno
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from agent.queue import receipts as module
from agent.queue.config import QueueConfig
from agent.queue.cursor import Cursor, Range
from agent.queue.disk import RealDisk
from agent.queue.frame import Part
from agent.queue.queue import Queue, open_queue
from agent.queue.receipts import (
    Dropped,
    Given,
    OldSegment,
    Receipt,
    Receipts,
    decode_block,
    encode_block,
    given_in,
    read_receipts,
    receipt_files,
    unfinished,
)
from agent.queue.segment import read_header, scan
from agent.record import record_id
from tests.queue.entries import RUN, entry, ids

SEGMENT = "0000000000000001-0000-0011223344556677.seg"
RECEIPT = Receipt(
    SEGMENT, 1, 2, 0, 5, 1000, 2000, {"es": 0},
    [Given(1, 0, "run", "test-default", [Part(1, 0, 3)]), Given(2, 3, "run", "test-default", [Part(2, 0, 2)])],
)  # fmt: skip
DROPPED = Dropped("es", [(3, 4), (9, 9)])
GOLDEN = bytes.fromhex("7265636569707431bb0055a615000000130000009bbc3ca528bfa0203565516af1a449cc2c93383901")


class FullDisk(RealDisk):
    """Takes no receipts while ``full``, until a file is deleted, or while ``deaf``; deletes none while ``clinging``."""

    def __init__(self) -> None:
        self.full = False
        self.deaf = False
        self.clinging = False

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        if (self.full or self.deaf) and buffers[0].startswith(module.MARK):
            super().write(handle, [buffers[0][:25]], offset)
            raise OSError(errno.ENOSPC, "no room")
        return super().write(handle, buffers, offset)

    def unlink(self, path: Path) -> None:
        if self.clinging:
            raise OSError(errno.EPERM, "not permitted")
        super().unlink(path)
        self.full = False


def _run(folder: Path, body: Callable[[Queue], Coroutine[Any, Any, Any]], disk: RealDisk | None = None) -> Any:
    config = QueueConfig(path=folder, min_free=0, sync_interval=0.001, segment_bytes=64 * 1024)

    async def main() -> Any:
        async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
            return await body(queue)

    return asyncio.run(main())


async def _deliver(queue: Queue, batches: range) -> None:
    """Append and finish, a large document in each batch, so that segments come and go."""
    subscription = queue.subscriptions.get("out") or queue.subscribe("out", from_oldest=True)
    for batch in batches:
        await queue.append(entry(batch, pad=1), "block")
        for stored in await subscription.read(10**6):
            frame = stored.frame
            done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
            subscription.finish(done, {"delivered": frame.count})


async def _until_trimmed(queue: Queue, segments: int) -> None:
    while len(queue.segments) > segments:
        queue.cursor_moved("out")
        await asyncio.sleep(0.01)


def _entries(folder: Path) -> list[Receipt | Dropped]:
    return list(read_receipts(RealDisk(), folder))


def _receipts(folder: Path) -> list[Receipt]:
    return [found for found in _entries(folder) if isinstance(found, Receipt)]


def _ids(receipts: list[Receipt]) -> list[str]:
    return [
        record_id(given.run, part.batch, part.first + i)
        for receipt in receipts
        for given in receipt.given
        for part in given.parts
        for i in range(part.count)
    ]


def test_block_has_the_bytes_of_the_format() -> None:
    """A change of the format is a change of these bytes; how well the payload is deflated is not part of it."""
    assert decode_block(GOLDEN) == DROPPED
    made = encode_block(DROPPED)
    assert made[:8] == b"receipt1"
    assert made[16:20] == GOLDEN[16:20]
    raw = isal_zlib.decompressobj(-15).decompress(made[20:])
    assert raw == bytes.fromhex("93a764726f70706564a2657392920304920909")


def test_deleted_segments_leave_the_ids_they_gave(tmp_path: Path) -> None:
    """Every id of every segment that went is in the receipts, once, in order; those still there are not."""

    async def body(queue: Queue) -> int:
        for turn in range(5):
            await _deliver(queue, range(turn * 400 + 1, turn * 400 + 401))
        await _until_trimmed(queue, 2)
        return queue.segments[0].begin_total

    gone = _run(tmp_path, body)
    assert gone > 1000
    receipts = _receipts(tmp_path)
    expected = [i for batch in range(1, 2001) for i in ids(batch)]
    assert _ids(receipts) == expected[:gone]
    assert receipts[0].begin_total == 0
    assert [r.end_total for r in receipts[:-1]] == [r.begin_total for r in receipts[1:]]
    assert all(r.made_at_ms <= r.ended_at_ms and r.outputs == {"out": 0} for r in receipts)


def test_a_disk_that_is_full_takes_the_receipt_once_the_segment_is_gone(tmp_path: Path) -> None:
    """The room the segment leaves is room for its receipt."""
    disk = FullDisk()

    async def body(queue: Queue) -> int:
        disk.full = True
        await _deliver(queue, range(1, 801))
        await _until_trimmed(queue, 2)
        return queue.receipts.unwritten

    assert _run(tmp_path, body, disk) == 0
    receipts = _receipts(tmp_path)
    assert _ids(receipts) == [i for batch in range(1, 801) for i in ids(batch)][: len(_ids(receipts))]
    assert receipts


def test_a_disk_that_takes_no_receipt_stops_nothing(tmp_path: Path) -> None:
    """Segments go all the same, what is not receipted is counted, and the gap shows in the totals of the next."""
    disk = FullDisk()

    async def body(queue: Queue) -> tuple[int, int]:
        disk.deaf = True
        await _deliver(queue, range(1, 801))
        await _until_trimmed(queue, 2)
        while queue.receipts.unwritten < queue.segments[0].begin_total:  # counted once the segment is gone
            await asyncio.sleep(0.001)
        unwritten, gone = queue.receipts.unwritten, queue.segments[0].begin_total
        disk.deaf = False
        await _deliver(queue, range(801, 1601))
        await _until_trimmed(queue, 2)
        return unwritten, gone

    unwritten, gone = _run(tmp_path, body, disk)
    assert unwritten == gone > 0
    assert _receipts(tmp_path)[0].begin_total == gone


def test_segment_that_cannot_be_deleted_is_receipted_once(tmp_path: Path) -> None:
    """However often that is tried: the receipts of others are not pushed out."""
    disk = FullDisk()

    async def body(queue: Queue) -> None:
        disk.clinging = True
        await _deliver(queue, range(1, 801))
        for _ in range(5):
            await queue._housekeeping.tidy()
        disk.clinging = False
        await _until_trimmed(queue, 2)

    _run(tmp_path, body, disk)
    segments = [receipt.segment for receipt in _receipts(tmp_path)]
    assert segments
    assert len(segments) == len(set(segments))


def test_dropped_frames_are_noted_for_the_output_that_lost_them(tmp_path: Path) -> None:
    """What the policy dropped is told from what was delivered, frame by frame; what was at the output then, and may
    never be answered, is noted with it."""

    async def body(queue: Queue) -> tuple[int, int, int]:
        slow = queue.subscribe("slow", from_oldest=True)
        await _deliver(queue, range(1, 801))
        for stored in (await slow.read(10**6))[3:5]:
            frame = stored.frame
            slow.finish(Range(frame.seq, frame.seq, frame.count, frame.total + frame.count), {"delivered": frame.count})
        await queue._housekeeping.make_room(drop_oldest=True)
        through = slow.cursor.dropped_through
        held = sum(frame.records for frame in slow.held.values() if frame.last <= through)
        return through, slow.cursor.counts.get("dropped.queue_full", 0), held

    through, dropped, held = _run(tmp_path, body)
    noted = [found for found in _entries(tmp_path) if isinstance(found, Dropped)]
    assert [entry for entry in noted if entry.output == "out"] == []
    (slow,) = noted
    assert slow.ranges == [(1, 3), (6, through)]
    (receipt,) = _receipts(tmp_path)
    in_ranges = [given for given in receipt.given if any(a <= given.seq <= b for a, b in slow.ranges)]
    assert sum(given.count for given in in_ranges) == dropped + held
    assert held


@given(
    low=st.integers(0, 5),
    done=st.sets(st.integers(0, 30)),
    through=st.integers(0, 35),
)
def test_unfinished_frames_are_those_no_range_covers(low: int, done: set[int], through: int) -> None:
    """Held to a plain set."""
    cursor = Cursor(low=low, low_total=low, start_total=low)
    for seq in done:
        cursor.finish(Range(seq, seq, 1, seq), {"delivered": 1})
    expected = {seq for seq in range(1, through + 1) if not cursor.is_done(seq)}
    ranges = unfinished(cursor, through)
    assert {seq for first, last in ranges for seq in range(first, last + 1)} == expected
    assert all(b < c for (_, b), (c, _) in pairwise(ranges))


def _two_blocks(folder: Path) -> tuple[bytes, int]:
    first = encode_block(RECEIPT)
    return first + encode_block(DROPPED), len(first)


def test_every_cut_keeps_what_is_whole(tmp_path: Path) -> None:
    """A torn tail costs the torn block, and what is appended behind it is read."""
    data, border = _two_blocks(tmp_path)
    file = tmp_path / "receipts-00000001"
    for length in range(len(data) + 1):
        both: list[Receipt | Dropped] = [RECEIPT, DROPPED]
        whole = both[: (length >= border) + (length == len(data))]
        file.write_bytes(data[:length])
        assert _entries(tmp_path) == whole
        Receipts(RealDisk(), tmp_path).dropped([Dropped("later", [(1, 1)])])
        assert _entries(tmp_path) == [*whole, Dropped("later", [(1, 1)])]


def test_every_flipped_bit_costs_one_block_at_most(tmp_path: Path) -> None:
    """Nothing wrong is ever read."""
    data, border = _two_blocks(tmp_path)
    file = tmp_path / "receipts-00000001"
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        assert _entries(tmp_path) == [DROPPED if bit < border * 8 else RECEIPT]


@settings(max_examples=50)
@given(data=st.binary(max_size=300), marks=st.integers(0, 3))
def test_any_bytes_can_be_read(tmp_path_factory: pytest.TempPathFactory, data: bytes, marks: int) -> None:
    """Garbage, with or without marks in it, is passed over."""
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "receipts-00000001").write_bytes(module.MARK * marks + data + encode_block(DROPPED))
    assert _entries(folder)[-1] == DROPPED


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest files stay, the others go, and the order is kept."""
    monkeypatch.setattr(module, "FILE_BYTES", 500)
    writer = Receipts(RealDisk(), tmp_path)
    for number in range(100):
        writer.dropped([Dropped(str(number), [(number, number)])])
    assert len(receipt_files(RealDisk(), tmp_path)) == module.FILES
    kept = [int(found.output) for found in _entries(tmp_path) if isinstance(found, Dropped)]
    assert kept == list(range(kept[0], 100))
    assert sum(path.stat().st_size for path in tmp_path.glob("receipts-*")) < 500 * (module.FILES + 1)


def test_long_segment_is_receipted_in_pieces_that_tile_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many frames: no piece holds more than so many, and none is missing between them."""
    monkeypatch.setattr(module, "PIECE_FRAMES", 7)

    async def body(queue: Queue) -> None:
        await _deliver(queue, range(1, 801))
        await _until_trimmed(queue, 2)

    _run(tmp_path, body)
    receipts = _receipts(tmp_path)
    assert max(len(r.given) for r in receipts) == 7
    assert [r.last + 1 for r in receipts[:-1]] == [r.first for r in receipts[1:]]
    assert [r.end_total for r in receipts[:-1]] == [r.begin_total for r in receipts[1:]]


def _segment(folder: Path) -> tuple[OldSegment, list[tuple[int, int, int]], list[Given]]:
    """A segment of a few frames: what to read, where head, body and end of each frame are, and what they give."""

    async def body(queue: Queue) -> OldSegment:
        for batch in range(1, 5):
            await queue.append(entry(batch), "block")
        (found,) = queue.segments
        return OldSegment(found.name, found.size, found.last, 0, found.end_total, 0, 0)

    old = _run(folder, body)
    handle = RealDisk().open(folder / old.name.text)
    try:
        _, first = read_header(RealDisk(), handle)
        frames = [frame for frame, _ in scan(RealDisk(), handle, old.name.mark, first, old.size)]
    finally:
        RealDisk().close(handle)
    places = [(frame.offset, frame.end - frame.body_len, frame.end) for frame in frames]
    return old, places, list(given_in(RealDisk(), folder, old))


def test_damage_in_a_segment_costs_the_ids_of_its_frame_at_most(tmp_path: Path) -> None:
    """Any flipped bit: the other frames give their ids. In a body, which nobody reads here, it costs nothing."""
    old, places, whole = _segment(tmp_path)
    assert [part for given in whole for part in given.parts] == [Part(batch, 0, 3) for batch in range(1, 5)]
    file = tmp_path / old.name.text
    data = file.read_bytes()
    for bit in range(places[0][0] * 8, old.size * 8):  # behind it lies the empty frame of a peaceful end
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        found = list(given_in(RealDisk(), tmp_path, old))
        (hit,) = [i for i, (begin, _, end) in enumerate(places) if begin <= bit // 8 < end]
        assert [given for given in found if given.seq != whole[hit].seq] == whole[:hit] + whole[hit + 1 :]
        if bit // 8 >= places[hit][1]:
            assert found == whole


def test_cut_segment_gives_the_ids_of_the_frames_that_are_left(tmp_path: Path) -> None:
    """At every length, header included, and nothing is asked that does not end."""
    old, places, whole = _segment(tmp_path)
    file = tmp_path / old.name.text
    data = file.read_bytes()
    for length in range(len(data) + 1):
        file.write_bytes(data[:length])
        cut = msgspec.structs.replace(old, size=length)
        found = list(given_in(RealDisk(), tmp_path, cut))
        assert found == whole[: sum(end <= length for _, _, end in places)]
