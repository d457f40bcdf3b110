"""One output's end of the queue: frames come out of ``read`` and go away by ``finish``."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent.log import Log
from agent.queue.config import MaxLag
from agent.queue.cursor import DAMAGED, Cursor, Range
from agent.queue.damage import set_aside
from agent.queue.frame import Stored
from agent.queue.reader import Extent, Gap, Reader, Reading

if TYPE_CHECKING:
    from agent.queue.queue import Queue

_log = Log("queue")
_READ_RETRY_SECS = 1.0


class Subscription:
    """See the module. The cursor belongs to the queue, which writes it, and moves it itself when frames are dropped by
    policy.

    ``before_trim`` is awaited before segments are deleted: an output that keeps its own cursor makes it durable there.
    ``held`` are the frames read and not finished, by sequence number. They are whole in memory, so they still get
    their fate from the output when their segment is dropped meanwhile. ``max_lag`` says what the output may hold back.
    """

    def __init__(self, queue: "Queue", output: str, cursor: Cursor, max_lag: MaxLag | None = None) -> None:
        self.output = output
        self.cursor = cursor
        self.max_lag = max_lag
        self.held: dict[int, Range] = {}
        self.before_trim: Callable[[], Awaitable[None]] | None = None
        self._queue = queue
        self._reader = Reader(queue.disk, queue.folder, cursor.low + 1, cursor.low_total)

    async def read(self, max_bytes: int) -> list[Stored]:
        """The next frames this output has not finished, at least one, about ``max_bytes`` of documents. Waits until
        there is one."""
        while True:
            changed = self._queue.visible_changed
            stored = await self.read_now(max_bytes)
            if stored:
                return stored
            await changed.wait()

    async def read_now(self, max_bytes: int) -> list[Stored]:
        """The same, but empty when there is nothing to read at the moment."""
        while self._reader.next_seq <= self._queue.visible_seq:
            cursor = self.cursor
            recent = self._queue.recent(self._reader.next_seq)
            if recent and all(stored.frame.count and not cursor.is_done(stored.frame.seq) for stored in recent):
                self._reader.pass_over(recent)
                return self._hold(list(recent))
            gone, gone_total = max((cursor.low, cursor.low_total), (cursor.dropped_through, cursor.dropped_total))
            visible, extents = self._queue.visible, self._queue.extents()
            try:
                reading, copies = await self._queue.on_reader(
                    self._read_blocking, extents, visible, gone, gone_total, max_bytes
                )
            except OSError as error:
                if extents and extents[0] not in self._queue.extents():
                    continue  # dropped by policy just then
                _log.error("The queue cannot be read; trying again", output=self.output, error=str(error))
                await asyncio.sleep(_READ_RETRY_SECS)
                continue
            for gap in reading.gaps:
                self._finish_gap(gap, copies)
            fresh = [stored for stored in reading.stored if not cursor.is_done(stored.frame.seq)]
            empty = [stored for stored in fresh if not stored.frame.count]
            for stored in empty:
                self.finish(Range(stored.frame.seq, stored.frame.seq, 0, stored.frame.total), {})
            if empty:
                fresh = [stored for stored in fresh if stored.frame.count]
            if fresh or not reading.stored:
                return self._hold(fresh)
        return []

    def _hold(self, stored: list[Stored]) -> list[Stored]:
        for frame in (s.frame for s in stored):
            self.held[frame.seq] = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
        return stored

    def _read_blocking(
        self, extents: list[Extent], visible: tuple[int, int], low: int, low_total: int, max_bytes: int
    ) -> tuple[Reading, dict[tuple[str, int], str]]:
        """Read, and set aside what is damaged. Returns also the copies, by file and offset."""
        reading = self._reader.read(extents, visible, low, low_total, max_bytes)
        places = [place for gap in reading.gaps for place in gap.places]
        queue = self._queue
        return reading, {(place.file, place.offset): set_aside(queue.disk, queue.folder, place) for place in places}

    def _finish_gap(self, gap: Gap, copies: dict[tuple[str, int], str]) -> None:
        """Count frames that are gone: their records by fate, and beside it the bytes where they were. Frames that were
        finished before they were damaged are not lost; met once more after a restart, nothing is counted again."""
        parts = self.cursor.unfinished(gap.frames, self.held.values())
        for part in parts:
            self.finish(part, {gap.fate: part.records})
        if parts and gap.fate == DAMAGED:
            self.note({"damaged_bytes": sum(place.length for place in gap.places)})
            for place in gap.places:
                _log.error(
                    "Part of the queue is damaged and was passed over",
                    output=self.output,
                    path=place.file, offset=place.offset, bytes=place.length, reason=place.reason,
                    copy=copies.get((place.file, place.offset)),
                )  # fmt: skip
        records = sum(part.records for part in parts)
        if records and gap.fate == DAMAGED:
            _log.error("Records are missing from the queue", output=self.output, records=records)
        elif records:
            _log.error(
                "Records before the oldest segment are gone, and whether this output had them is not known",
                output=self.output,
                records=records,
            )

    @property
    def queued(self) -> int:
        """Records in the queue this output is not through with."""
        return self.cursor.behind(self._queue.total)

    def finish(self, done: Range, fates: dict[str, int]) -> None:
        """These frames need no more work. Durable soon; until then a crash repeats them."""
        self.cursor.finish(done, fates)
        self.held.pop(done.first, None)
        self._queue.cursor_moved(self.output)

    def note(self, notes: dict[str, int]) -> None:
        """Count beside the sum."""
        self.cursor.note(notes)
        self._queue.cursor_moved(self.output)

    def close(self) -> None:
        """Release the reader's file."""
        self._reader.close()
