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
from typing import Final

import msgspec
from isal import isal_zlib

from agent.queue.disk import Disk

SLOT_BYTES: Final = 8192
_MAGIC: Final = b"cursor1\n"
_HEAD: Final = struct.Struct("<8sIIQ")
PREFIX: Final = "cursor-"


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
    ``noted`` counts what does not enter the sum (``duplicates``, ``failure_store``, ``retried``). ``dropped_through``
    is the last frame dropped by policy, ``dropped_total`` the queue's total behind it.
    """

    low: int = 0
    low_total: int = 0
    start_total: int = 0
    done: list[Range] = []
    counts: dict[str, int] = {}
    noted: dict[str, int] = {}
    dropped_through: int = 0
    dropped_total: int = 0

    def is_done(self, seq: int) -> bool:
        """Whether the frame is finished."""
        return seq <= self.low or any(r.first <= seq <= r.last for r in self.done)

    @property
    def end(self) -> tuple[int, int]:
        """The last finished frame, and the queue's total behind it: what the queue has certainly held."""
        last = self.done[-1] if self.done else None
        return (self.low, self.low_total) if last is None else (last.last, last.total)

    def unfinished(self, gap: Range) -> list[Range]:
        """The parts of a range of frames that are not finished, each with its share of the records."""
        parts: list[Range] = []
        first, total = gap.first, gap.total - gap.records
        if self.low >= first:
            first, total = self.low + 1, self.low_total
        for r in self.done:
            if r.first <= gap.last and first < r.first:
                parts.append(Range(first, r.first - 1, r.total - r.records - total, r.total - r.records))
            if first <= r.last:
                first, total = r.last + 1, r.total
        if first <= gap.last:
            parts.append(Range(first, gap.last, gap.total - total, gap.total))
        return parts

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
        if done.last <= self.low:
            return  # dropped by policy while in flight; that is how they were counted
        self.count(fates)
        self.done.append(done)
        self._close_up()

    def drop_through(self, seq: int, total: int, fate: str) -> int:
        """The frames up to ``seq`` are gone by policy; ``total`` is the queue's total at the end of that frame. What
        was not finished of them gets ``fate``. Returns how many records that were."""
        self.dropped_through, self.dropped_total = seq, total
        if seq <= self.low:
            return 0
        for r in self.done:
            if r.first <= seq < r.last:
                seq, total = r.last, r.total
        behind = sum(r.records for r in self.done if r.last <= seq)
        missing = total - self.low_total - behind
        self.count({fate: missing})
        self.low, self.low_total = seq, total
        self.done = [r for r in self.done if r.last > seq]
        self._close_up()
        return missing

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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cursor).decode


def encode_cursor(cursor: Cursor) -> bytes:
    """The cursor as opaque bytes, for an output that keeps it in its own transactions."""
    return _encode(cursor)


def decode_cursor(data: bytes) -> Cursor:
    """Back from ``encode_cursor``. Raises ``msgspec.DecodeError``."""
    return _decode(data)


def encode_slot(payload: bytes, generation: int) -> bytes:
    """The slot of an encoded cursor, padded to its full size."""
    if len(payload) > SLOT_BYTES - _HEAD.size:
        raise ValueError("cursor does not fit its slot")
    behind_crc = _HEAD.pack(_MAGIC, 0, len(payload), generation)[12:] + payload
    slot = _MAGIC + isal_zlib.crc32(behind_crc).to_bytes(4, "little") + behind_crc
    return slot.ljust(SLOT_BYTES, b"\0")


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
