"""Every flipped bit, every cut, every zeroed sector and every dropped file of a small queue.

The queue's blocking core is the same code that runs below the event loop: recovery, the segments found, the reader, and
the cursor's counting.
"""

from pathlib import Path

import pytest

from agent.ledger import make_ledger
from agent.queue.cursor import SLOT_BYTES, Cursor, Range, encode_cursor, encode_slot, read_cursor
from agent.queue.disk import Disk
from agent.queue.frame import inflate
from agent.queue.reader import Reader
from agent.queue.recovery import Recovered
from agent.queue.segment import Name, read_header, scan
from agent.queue.start import recover_at_start
from agent.queue.wal import WriteAheadLog
from tests.queue.entries import RUN, entry, entry_in_turn
from tests.queue.power import SECTOR, PowerDisk

FOLDER = Path("/queue")
CURSOR = FOLDER / "cursor-out"
RECORDS = 2
DONE = 1
"""Batches the output was through with."""


def _wal(disk: Disk, recovered: Recovered) -> WriteAheadLog:
    return WriteAheadLog(disk, FOLDER, RUN, recovered, segment_bytes=10**6, show_unsynced=False)


def _small_queue() -> PowerDisk:
    """Three segments of two, two and three frames of two records; the last frames come from another input; an output
    that is through with the first."""
    disk = PowerDisk()
    disk.make_folder(FOLDER)
    batch = 0
    for frames in (2, 2, 3):
        wal = _wal(disk, recover_at_start(disk, FOLDER))
        for _ in range(frames):
            batch += 1
            made = entry_in_turn(batch, RECORDS)
            made.input = "in" if batch < 6 else "other"
            wal.append([made])
            wal.sync()
        wal.close()
    cursor = Cursor(low=DONE, low_total=DONE * RECORDS, counts={"delivered": DONE * RECORDS})
    disk.replace(CURSOR, encode_slot(encode_cursor(Cursor()), 2) + encode_slot(encode_cursor(cursor), 3))
    return disk


class _Frame:
    """Where a frame lies, and the records it holds."""

    def __init__(self, path: Path, seq: int, start: int, end: int, records: bytes) -> None:
        self.path, self.seq, self.start, self.end, self.records = path, seq, start, end, records


def _frames(disk: PowerDisk) -> list[_Frame]:
    found = []
    for name in sorted(name for name in map(Name.parse, disk.names(FOLDER)) if name):
        handle = disk.open(FOLDER / name.text)
        header, first = read_header(disk, handle)
        for frame, body in scan(disk, handle, header.mark, first, disk.size(handle)):
            found.append(_Frame(FOLDER / name.text, frame.seq, frame.offset, frame.end, inflate(frame, body)))
        disk.close(handle)
    return found


def _come(disk: PowerDisk) -> tuple[list[bytes], Cursor, bool]:
    """Open what is there, append two records, and read to the end. Returns the documents of each frame that came but
    the last, the cursor, and whether the ledger balances."""
    recovered = recover_at_start(disk, FOLDER)
    cursor = recovered.cursors["out"][0] if "out" in recovered.cursors else Cursor()
    wal = _wal(disk, recovered)
    wal.append([entry(99, RECORDS)])
    wal.sync()
    reader = Reader(disk, FOLDER, cursor.low + 1, cursor.low_total)
    reading = reader.read(wal.extents(), wal.visible, cursor.low, cursor.low_total, 10**6)
    for gap in reading.gaps:
        for part in cursor.unfinished(gap.frames):
            cursor.finish(part, {gap.fate: part.records})
    came = []
    for stored in reading.stored:
        frame = stored.frame
        came.append(inflate(frame, stored.body))
        done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
        cursor.finish(done, {"delivered": frame.count})
    ledger = make_ledger(wal.state.counts, wal.state.total, {"out": cursor})
    reader.close()
    wal.close()
    return came[:-1], cursor, ledger.balances and ledger.outputs["out"].queued == 0


def _check(disk: PowerDisk, whole: list[_Frame], damaged: set[int]) -> None:
    """Exactly the frames that are whole come out, and what is missing is counted wherever totals on both sides of it
    exist: everywhere but at the very end."""
    came, cursor, balances = _come(disk)
    assert came == [frame.records for frame in whole if frame.seq > DONE and frame.seq not in damaged]
    last = max((frame.seq for frame in whole if frame.seq not in damaged), default=DONE)
    missing = [frame for frame in whole if DONE < frame.seq < last and frame.seq in damaged]
    lost = cursor.counts.get("damaged", 0) + cursor.counts.get("unknown", 0)
    assert lost == len(missing) * RECORDS
    assert balances


@pytest.fixture(scope="module")
def small_queue() -> tuple[PowerDisk, list[_Frame]]:
    """The queue and its frames."""
    disk = _small_queue()
    return disk, _frames(disk)


def _segments(frames: list[_Frame]) -> list[Path]:
    return list(dict.fromkeys(frame.path for frame in frames))


def _hit(frames: list[_Frame], path: Path, start: int, end: int) -> set[int]:
    return {f.seq for f in frames if f.path == path and f.start < end and f.end > start}


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_every_flipped_bit_of_a_segment_costs_its_frame_at_most(
    small_queue: tuple[PowerDisk, list[_Frame]], segment: int
) -> None:
    """A flipped bit in a frame costs that frame, one in a header nothing."""
    disk, frames = small_queue
    path = _segments(frames)[segment]
    for at in range(len(disk.content(path))):
        for bit in range(8):
            other = disk.copy()
            other.content(path)[at] ^= 1 << bit
            _check(other, frames, _hit(frames, path, at, at + 1))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_every_cut_of_a_segment_costs_what_lay_behind_it(
    small_queue: tuple[PowerDisk, list[_Frame]], segment: int
) -> None:
    """Cut at any length, a segment gives the frames before."""
    disk, frames = small_queue
    path = _segments(frames)[segment]
    whole = len(disk.content(path))
    for length in range(whole):
        other = disk.copy()
        del other.content(path)[length:]
        _check(other, frames, _hit(frames, path, length, whole))


def test_every_zeroed_sector_costs_what_it_held(small_queue: tuple[PowerDisk, list[_Frame]]) -> None:
    """Zeros in any sector of any segment, as a lost page leaves them."""
    disk, frames = small_queue
    for path in _segments(frames):
        for start in range(0, len(disk.content(path)), SECTOR):
            other = disk.copy()
            end = min(start + SECTOR, len(other.content(path)))
            other.content(path)[start:end] = bytes(end - start)
            _check(other, frames, _hit(frames, path, start, end))


def test_every_dropped_segment_costs_what_it_held(small_queue: tuple[PowerDisk, list[_Frame]]) -> None:
    """Any file may be gone."""
    disk, frames = small_queue
    for path in _segments(frames):
        other = disk.copy()
        other.replace(path, None)
        _check(other, frames, _hit(frames, path, 0, 10**6))


def test_no_flipped_bit_of_a_cursor_is_believed(small_queue: tuple[PowerDisk, list[_Frame]]) -> None:
    """A bit flipped in the newer slot gives the older one; anywhere else it changes nothing. A cursor is never one
    that was not written."""
    disk, _ = small_queue
    used = [at for at, byte in enumerate(disk.content(CURSOR)) if byte]
    for at in range(2 * SLOT_BYTES):
        for bit in range(8) if used[0] <= at <= used[-1] and at % SLOT_BYTES < 256 else (at % 8,):
            other = _only_cursor(bytes(disk.content(CURSOR)), at, bit)
            handle = other.open(CURSOR)
            found = read_cursor(other, handle)
            assert found is not None
            assert (found[0].low, found[1]) in {(0, 2), (DONE, 3)}
            assert at >= SLOT_BYTES or (found[0].low, found[1]) == (DONE, 3)


def _only_cursor(content: bytes, at: int, bit: int) -> PowerDisk:
    disk = PowerDisk()
    data = bytearray(content)
    data[at] ^= 1 << bit
    disk.replace(CURSOR, bytes(data))
    return disk


def test_every_cut_of_a_cursor_repeats_at_most(small_queue: tuple[PowerDisk, list[_Frame]]) -> None:
    """Cut at any length, or gone, the cursor is the newer one, the older one, or none: then everything comes again."""
    disk, frames = small_queue
    everything = [frame.records for frame in frames]
    for length in [None, *range(0, 2 * SLOT_BYTES, 61)]:
        other = disk.copy()
        other.replace(CURSOR, None if length is None else bytes(disk.content(CURSOR)[:length]))
        came, _, balances = _come(other)
        assert came in (everything, everything[DONE:])
        assert balances
