"""How far one output has come, and what became of the records behind it.

A cursor file is two slots of ``SLOT_BYTES``, written in turn and preallocated: a cursor must move on a full disk too,
or nothing could ever be freed, so there is no temporary file and no rename. A slot is::

    offset  size  field
         0     8  magic       b"cursor1\\n"
         8     4  crc         CRC-32 of everything behind it, to the end of the payload
        12     4  length      bytes of the payload
        16     8  generation  the readable slot with the higher one counts
        24   ...  Cursor      msgpack

A slot's generation is even in the first and odd in the second. Whatever tears between two syncs is one slot: the one
that does not hold the last durable state, however often it is written meanwhile. So a power cut costs at most a repeat
of what was finished since the last sync.
"""

import struct
from collections.abc import Iterable
from typing import Final

import msgspec
from isal import isal_zlib

from agent.queue.disk import Disk

SLOT_BYTES: Final = 8192
_MAGIC: Final = b"cursor1\n"
_HEAD: Final = struct.Struct("<8sIIQ")
PREFIX: Final = "cursor-"
DROPPED: Final = "dropped."
"""What begins the fate of records dropped by policy."""
DAMAGED: Final = "damaged"


class Range(msgspec.Struct, array_like=True):
    """Frames ``first`` to ``last`` are finished; they hold ``records``, and the queue's total at the end of the last
    one is ``total``."""

    first: int
    last: int
    records: int
    total: int


class Cursor(msgspec.Struct):
    """The position of one output, and its cumulative counts.

    Every frame up to ``low`` is finished; ``done`` are finished frames above it. ``low_total`` is the number of records
    appended to the queue up to the end of frame ``low``; ``start_total`` the same when this output joined. So
    ``start_total + sum(counts) == low_total + sum(done.records)`` always, which the ledger checks. ``counts`` is keyed
    by fate (``delivered``, ``rescued``, ``dead_lettered``, ``damaged``, ``dropped.<reason>``, ``filtered.<rule>``);
    ``noted`` counts what does not enter the sum (``duplicates``, ``failure_store``, ``retried`` …).

    ``dropped_through`` is the last frame dropped by policy, ``dropped_total`` the queue's total behind it and
    ``dropped_fate`` what its records were counted as. Frames up to it that are not finished were at the output when
    the others were dropped: they are gone from the disk, and get their fate from the output's answer, or, if the
    process ends before there is one, the same as the others (``settle_drops``).
    """

    low: int = 0
    low_total: int = 0
    start_total: int = 0
    done: list[Range] = []
    counts: dict[str, int] = {}
    noted: dict[str, int] = {}
    dropped_through: int = 0
    dropped_total: int = 0
    dropped_fate: str = ""

    @property
    def needs_from(self) -> int:
        """The first frame that may still be read for this output: segments that end before it can go."""
        return max(self.low, self.dropped_through) + 1

    def is_done(self, seq: int) -> bool:
        """Whether the frame is finished."""
        return seq <= self.low or any(r.first <= seq <= r.last for r in self.done)

    @property
    def end(self) -> tuple[int, int]:
        """The last finished frame, and the queue's total behind it: what the queue has certainly held."""
        last = self.done[-1] if self.done else None
        return (self.low, self.low_total) if last is None else (last.last, last.total)

    @property
    def passed(self) -> int:
        """Records this output is through with."""
        return sum(self.counts.values())

    @property
    def balances(self) -> bool:
        """Whether the counts agree with the position."""
        return self.start_total + self.passed == self.low_total + sum(r.records for r in self.done)

    def behind(self, total: int) -> int:
        """Records not finished yet, of ``total`` appended to the queue over its life."""
        return total - self.low_total - sum(r.records for r in self.done)

    def count(self, fates: dict[str, int]) -> None:
        """Add to the counts."""
        for fate, n in fates.items():
            if n:
                self.counts[fate] = self.counts.get(fate, 0) + n

    def note(self, notes: dict[str, int]) -> None:
        """Add to what is noted beside the sum."""
        for what, n in notes.items():
            if n:
                self.noted[what] = self.noted.get(what, 0) + n

    def finish(self, done: Range, fates: dict[str, int]) -> None:
        """Frames are finished, in any order. ``fates`` must add up to the range's records."""
        if sum(fates.values()) != done.records:
            raise ValueError(f"fates {fates} do not add up to {done.records} records")
        if self.is_done(done.last):
            return  # dropped by policy meanwhile; that is how they were counted
        self.count(fates)
        self.done.append(done)
        self._close_up()

    def drop_through(self, seq: int, total: int, fate: str, held: Iterable[Range] = ()) -> int:
        """The frames up to ``seq`` are gone by policy; ``total`` is the queue's total at the end of that frame. What
        was not finished of them gets ``fate``, except for the frames ``held``, which are at the output and will be
        finished. Returns how many records that were."""
        if seq > self.dropped_through:
            self.dropped_through, self.dropped_total, self.dropped_fate = seq, total, fate
        parts = self.unfinished(Range(self.low + 1, seq, total - self.low_total, total), held)
        records = sum(part.records for part in parts)
        self.count({fate: records})
        self.done += parts
        self._close_up()
        return records

    def unfinished(self, gap: Range, held: Iterable[Range] = ()) -> list[Range]:
        """The parts of a range of frames that are neither finished nor ``held``, each with its share of the
        records."""
        parts: list[Range] = []
        first, total = gap.first, gap.total - gap.records
        if first <= self.low:
            first, total = self.low + 1, self.low_total
        for known in sorted([*self.done, *held, Range(gap.last + 1, gap.last + 1, 0, gap.total)], key=_first):
            if known.last < first:
                continue
            if first < known.first and first <= gap.last:
                before = known.total - known.records
                parts.append(Range(first, known.first - 1, before - total, before))
            first, total = known.last + 1, known.total
        return parts

    def settle_drops(self) -> None:
        """The process that held frames when they were dropped by policy is gone: they are dropped too."""
        if self.dropped_through > self.low:
            self.drop_through(self.dropped_through, self.dropped_total, self.dropped_fate)

    def take_drops(self, known: "Cursor") -> None:
        """This is the cursor an output stored by itself, and ``known`` the queue's own copy, its drops settled. What
        ``known`` says was dropped since is dropped here, by the same reasons. Frames dropped there that the output had
        stored are not dropped here; frames gone that ``known`` did not drop were lost by the output: damaged."""
        if known.dropped_through <= self.low:
            return
        before = dict(self.counts)
        missing = self.drop_through(known.dropped_through, known.dropped_total, DAMAGED)
        self.dropped_fate = known.dropped_fate
        self.counts = before
        for fate, n in known.counts.items():
            if fate.startswith(DROPPED):
                taken = min(missing, max(0, n - before.get(fate, 0)))
                self.count({fate: taken})
                missing -= taken
        self.count({DAMAGED: missing})

    def _close_up(self) -> None:
        self.done.sort(key=lambda r: r.first)
        while self.done and self.done[0].first <= self.low + 1:
            r = self.done.pop(0)
            self.low, self.low_total = r.last, r.total
        joined: list[Range] = []
        for r in self.done:
            if joined and joined[-1].last + 1 == r.first:
                joined[-1] = Range(joined[-1].first, r.last, joined[-1].records + r.records, r.total)
            else:
                joined.append(r)
        self.done = joined


def _first(frames: Range) -> int:
    return frames.first


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def encode_cursor(cursor: Cursor) -> bytes:
    """The cursor as opaque bytes, for an output that keeps it in its own transactions."""
    return _encode(cursor)


def decode_cursor(data: bytes) -> Cursor:
    """Back from ``encode_cursor``. Raises ``msgspec.DecodeError``."""
    return _decode(data)


def encode_to_fit(cursor: Cursor) -> bytes:
    """The cursor as it fits a slot.

    A cursor whose finished frames lie in so many places that they do not fit is written without the oldest of them:
    after a restart those are sent again, under the same ids, and counted then.
    """
    payload = _encode(cursor)
    while len(payload) > SLOT_BYTES - _HEAD.size and cursor.done:
        cursor = _without_oldest(cursor, 1 + len(cursor.done) // 8)
        payload = _encode(cursor)
    return payload


def encode_slot(payload: bytes, generation: int) -> bytes:
    """The slot of an encoded cursor, padded to its full size."""
    if len(payload) > SLOT_BYTES - _HEAD.size:
        raise ValueError("cursor does not fit its slot")
    behind_crc = _HEAD.pack(_MAGIC, 0, len(payload), generation)[12:] + payload
    slot = _MAGIC + isal_zlib.crc32(behind_crc).to_bytes(4, "little") + behind_crc
    return slot.ljust(SLOT_BYTES, b"\0")


def _without_oldest(cursor: Cursor, n: int) -> Cursor:
    """The cursor as if its ``n`` oldest finished ranges were not. Their records are taken off what was delivered, as
    nearly all of them were; the sum is exact in any case."""
    forgotten = sum(r.records for r in cursor.done[:n])
    counts = dict(cursor.counts)
    for fate in sorted(counts, key=lambda fate: fate != "delivered"):
        taken = min(forgotten, counts[fate])
        counts[fate] -= taken
        forgotten -= taken
    return msgspec.structs.replace(cursor, done=cursor.done[n:], counts=counts)


def decode_slot(slot: bytes) -> tuple[Cursor, int] | None:
    """The cursor and its generation, or None when the slot is empty, torn or damaged."""
    if len(slot) < _HEAD.size:
        return None
    magic, crc, length, generation = _HEAD.unpack_from(slot)
    if magic != _MAGIC or length > SLOT_BYTES - _HEAD.size or isal_zlib.crc32(slot[12 : _HEAD.size + length]) != crc:
        return None
    try:
        return _decode(slot[_HEAD.size : _HEAD.size + length]), generation
    except msgspec.DecodeError:
        return None


def read_cursor(disk: Disk, handle: int) -> tuple[Cursor, int] | None:
    """The newer readable slot of the file, or None when neither is readable."""
    data = disk.read(handle, 2 * SLOT_BYTES, 0)
    slots = [decode_slot(data[:SLOT_BYTES]), decode_slot(data[SLOT_BYTES:])]
    readable = [slot for slot in slots if slot is not None]
    return max(readable, key=lambda slot: slot[1]) if readable else None
