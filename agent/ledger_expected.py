"""Which records an output ought to have: the ids that were given and that its cursor is through with.

They come from the receipts of deleted segments and from the heads of the frames still there, a chunk at a time, so that
memory does not grow with their number. An agent may be using the queue meanwhile; nothing is written. The order of the
look matters then: first the cursor, then what was dropped, then the segments, and the receipts last, because a segment
has its receipt before it goes.

The time of a record is known to its segment: begun at a time, followed by the next one at a time. A range of time takes
every segment that lies in it for a moment.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from agent.errors import ModeltailError
from agent.queue.cursor import Cursor
from agent.queue.disk import Disk, RealDisk
from agent.queue.receipts import Dropped, Given, OldSegment, Receipt, given_in, read_receipts
from agent.queue.recovery import Recovered, recover
from agent.record import record_id

CHUNK_RECORDS: Final = 5000
"""Records of one chunk at most."""


class UnknownOutput(ModeltailError):
    """The queue has no readable cursor of this output, so nobody can say what it ought to have."""


class Span(msgspec.Struct, frozen=True):
    """Milliseconds since 1970 between which records were put into the queue; 0 where that is not known."""

    since_ms: int
    until_ms: int

    def meets(self, other: "Span") -> bool:
        """Whether the two have a moment in common, as far as is known."""
        return (not other.until_ms or self.since_ms <= other.until_ms) and (
            not self.until_ms or other.since_ms <= self.until_ms
        )


class Chunk(msgspec.Struct):
    """Ids of records of one data stream, in the order they were given. ``spans`` says when: each holds from its index
    on."""

    stream: str
    ids: list[str]
    spans: list[tuple[int, Span]]

    def span_at(self, index: int) -> Span:
        """When the record at this index was put into the queue."""
        return self.spans[bisect_right(self.spans, index, key=lambda entry: entry[0]) - 1][1]


class Unasked(msgspec.Struct):
    """What of the range no id is asked for. ``dropped``: records dropped by policy before the output was through with
    them. ``unreadable``: records whose frames' heads are damaged. ``forgotten``: records of deleted segments that no
    receipt speaks of (any more). ``forgotten_until_ms`` is the end of the time in which they lie, 0 when there are
    none."""

    dropped: int = 0
    unreadable: int = 0
    forgotten: int = 0
    forgotten_until_ms: int = 0


class _Piece(msgspec.Struct, frozen=True):
    """A part of the queue's life that is known: between these totals, in this span."""

    begin: int
    end: int
    span: Span


class Expected:
    """What ``output`` ought to have of the records put into the queue within ``asked``. ``unasked`` is complete once
    ``chunks`` has been gone through.

    Raises ``UnknownOutput``, and ``OSError`` when the folder cannot be listed.
    """

    def __init__(self, folder: Path, output: str, asked: Span, disk: Disk | None = None) -> None:
        self.unasked = Unasked()
        self._disk = disk or RealDisk()
        self._folder = folder
        self._output = output
        self._asked = asked
        self._recovered = recover(self._disk, folder)
        if output not in self._recovered.cursors:
            raise UnknownOutput(
                f"the queue in {folder} knows no output {output!r}"
                + (", for its cursor is not readable" if output in self._recovered.unreadable_cursors else "")
            )
        self.cursor: Cursor = self._recovered.cursors[output][0]
        self._open: dict[str, Chunk] = {}
        self._pieces: list[_Piece] = []

    def chunks(self) -> Iterator[Chunk]:
        """Every id, in chunks of one data stream. To be gone through once."""
        dropped = self._dropped_frames()
        seen: set[str] = set()
        for old in old_segments(self._recovered):
            span = Span(old.made_at_ms, old.ended_at_ms)
            try:
                if span.meets(self._asked):
                    yield from self._of_segment(old, span, dropped)
            except FileNotFoundError:
                continue  # it has its receipt by now
            except OSError:
                self.unasked.unreadable += old.end_total - old.begin_total
            seen.add(old.name.text)
            self._know(_Piece(old.begin_total, old.end_total, span))
        again: set[tuple[str, int]] = set()
        for entry in read_receipts(self._disk, self._folder):
            if isinstance(entry, Receipt) and entry.segment not in seen and (entry.segment, entry.first) not in again:
                again.add((entry.segment, entry.first))
                yield from self._of_receipt(entry, dropped)
        yield from self._open.values()
        self._open = {}
        self._look_for_gaps()

    def _of_receipt(self, receipt: Receipt, dropped: "_Ranges") -> Iterator[Chunk]:
        span = Span(receipt.made_at_ms, receipt.ended_at_ms)
        self._know(_Piece(receipt.begin_total, receipt.end_total, span))
        joined_at = receipt.outputs.get(self._output)
        if joined_at is None or not span.meets(self._asked):
            return
        unreadable = receipt.end_total - max(receipt.begin_total, joined_at)
        for given in receipt.given:
            if given.total >= joined_at:
                unreadable -= given.count
                yield from self._take(given, span, dropped)
        self.unasked.unreadable += max(0, unreadable)

    def _of_segment(self, old: OldSegment, span: Span, dropped: "_Ranges") -> Iterator[Chunk]:
        total = old.begin_total
        for given in given_in(self._disk, self._folder, old):
            if self.cursor.is_done(given.seq):
                self._miss(total, given.total)
                if given.total >= self.cursor.start_total:
                    yield from self._take(given, span, dropped)
            total = given.total + given.count
        if self.cursor.is_done(old.last):
            self._miss(total, old.end_total)

    def _miss(self, begin_total: int, end_total: int) -> None:
        """Between these totals no head can be read."""
        self.unasked.unreadable += max(0, end_total - max(begin_total, self.cursor.start_total))

    def _take(self, given: Given, span: Span, dropped: "_Ranges") -> Iterator[Chunk]:
        if given.seq in dropped:
            self.unasked.dropped += given.count
            return
        for part in given.parts:
            for index in range(part.first, part.first + part.count):
                chunk = self._open.get(given.stream)
                if chunk is None:
                    chunk = self._open[given.stream] = Chunk(given.stream, [], [])
                if not chunk.spans or chunk.spans[-1][1] != span:
                    chunk.spans.append((len(chunk.ids), span))
                chunk.ids.append(record_id(given.run, part.batch, index))
                if len(chunk.ids) == CHUNK_RECORDS:
                    yield self._open.pop(given.stream)

    def _dropped_frames(self) -> "_Ranges":
        ranges: list[tuple[int, int]] = []
        for entry in read_receipts(self._disk, self._folder):
            if isinstance(entry, Dropped) and entry.output == self._output:
                ranges += entry.ranges
        return _Ranges(ranges)

    def _know(self, piece: _Piece) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.end == piece.begin:
            self._pieces[-1] = _Piece(last.begin, piece.end, Span(last.span.since_ms, piece.span.until_ms))
        else:
            self._pieces.append(piece)

    def _look_for_gaps(self) -> None:
        """Records put into the queue after the output joined, of which neither segment nor receipt is there."""
        known, known_until_ms = self.cursor.start_total, 0
        for piece in sorted(self._pieces, key=lambda piece: (piece.begin, piece.end)):
            gap = Span(known_until_ms, piece.span.since_ms)
            if piece.begin > known and gap.meets(self._asked):
                self.unasked.forgotten += piece.begin - known
                self.unasked.forgotten_until_ms = gap.until_ms
            known, known_until_ms = max(known, piece.end), piece.span.until_ms


class _Ranges:
    """Sequence numbers, as ranges with both ends included."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._firsts, seq) - 1
        return at >= 0 and seq <= self._lasts[at]


def old_segments(recovered: Recovered) -> list[OldSegment]:
    """The segments found, oldest first. Where one ends is what the next one says; the newest has no end yet."""
    segments: list[OldSegment] = []
    last, total = recovered.state.seq, recovered.state.total
    ended_at_ms = time.time_ns() // 1_000_000
    for found in reversed(recovered.segments):
        begin = found.begin_total if found.begin_total is not None else total
        made_at_ms = found.header.made_at_ms if found.header is not None else 0
        segments.append(OldSegment(found.name, found.size, last, begin, total, made_at_ms, ended_at_ms))
        last, total, ended_at_ms = found.name.base - 1, begin, made_at_ms
    return segments[::-1]
