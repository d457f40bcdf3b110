"""Reads frames in order for one output. Blocking; runs on the queue's reading thread.

A reader keeps one open segment and an offset: its memory does not depend on the backlog. What cannot be read is passed
over; how many records that were is known from the totals on both sides, and returned as a gap.

Bytes that no readable frame follows in their segment are damage only if frames are missing behind them. Otherwise they
are what a crash left of a group that was never completed, and so never happened.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.queue.cursor import DAMAGED, Range
from agent.queue.damage import Damage
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Stored
from agent.queue.segment import Name, find_frame, path_of, read_frame, read_header

UNKNOWN_FATE = "unknown"
"""The fate of records before the oldest segment that a cursor does not know to be finished: their segment was deleted
after a newer copy of this cursor was past it, or is lost. The queue cannot tell."""


class Extent(msgspec.Struct, frozen=True):
    """What may be read of a segment: bytes before ``limit``, and frames up to ``last`` and ``end_total``.
    ``begin_total`` is the queue's total before it."""

    name: Name
    limit: int
    last: int
    begin_total: int
    end_total: int


class Gap(msgspec.Struct):
    """Frames that are not there any more, why not, and the bytes where they most likely were."""

    frames: Range
    fate: str
    places: list[Damage] = []


class Reading(msgspec.Struct):
    """What one call read."""

    stored: list[Stored] = []
    gaps: list[Gap] = []


class Reader:
    """The place of one output in the queue. ``seq`` is the next frame it wants, ``total`` the queue's total before
    it."""

    def __init__(self, disk: Disk, folder: Path, seq: int, total: int) -> None:
        self._disk = disk
        self._folder = folder
        self._seq = seq
        self._total = total
        self._name: Name | None = None
        self._handle: int | None = None
        self._offset = 0
        self._unreadable: list[Damage] = []
        self._absent: Name | None = None

    @property
    def next_seq(self) -> int:
        """The next frame this reader wants."""
        return self._seq

    def pass_over(self, stored: Sequence[Stored]) -> None:
        """These frames, which follow the last one read, were had from elsewhere."""
        last = stored[-1].frame
        self._seq, self._total = last.seq + 1, last.total + last.count

    def read(
        self, extents: Sequence[Extent], visible: tuple[int, int], low: int, low_total: int, max_bytes: int
    ) -> Reading:
        """Frames from here on, at least one if there is one, until ``max_bytes`` of documents (uncompressed) are
        reached.

        ``visible`` are the last frame that may be read and the queue's total behind it, taken before ``extents``, which
        are the segments as of now, oldest first; ``low`` and ``low_total`` the cursor's, which may have moved past this
        reader. Raises ``OSError`` when the disk does and nothing was read before; the place is kept.
        """
        if low >= self._seq:
            self._seq, self._total = low + 1, low_total
            self.close()
        reading = Reading()
        size = 0
        while size < max_bytes:
            try:
                extent = self._enter(extents)
                group = [] if extent is None else self._read_group(extent)
            except OSError:
                if reading.stored or reading.gaps:
                    break  # what was read is not to be lost; the next call meets the trouble again
                raise
            if extent is None:
                self._miss(*visible, None, extents, reading)  # all there is was read: the rest is gone
                break
            for stored in group:
                size += self._take(stored, self._name, extents, reading)
        return reading

    def close(self) -> None:
        """Close the open segment; the place is kept by sequence number."""
        if self._handle is not None:
            self._disk.close(self._handle)
        self._name = self._handle = None
        self._unreadable = []

    def _enter(self, extents: Sequence[Extent]) -> Extent | None:
        """The extent to read from, with its segment open and something left in it; None when all is read."""
        while True:
            here = next((e for e in extents if e.name == self._name), None)
            if here is not None and self._offset < here.limit:
                return here
            if self._name is not None and here is None:
                self.close()  # deleted: find the place again by sequence number
            following = self._following(extents)
            if following is None:
                return None
            self._open(following)

    def _following(self, extents: Sequence[Extent]) -> Extent | None:
        """The next segment. It begins only when all before it is durable, so there is nothing more to come there."""
        if self._name is not None:
            current = self._name
            return next((e for e in extents if e.name > current), None)
        before = [e for e in extents if e.name.base <= self._seq]
        return before[-1] if before else (extents[0] if extents else None)

    def _open(self, extent: Extent) -> None:
        try:
            handle = self._disk.open(path_of(self._folder, extent.name))
        except FileNotFoundError:
            if self._absent != extent.name:
                self._absent = extent.name  # it may have been deleted since these extents were true: ask again
                raise
            self._leave(extent, [])
            return
        try:
            _, offset = read_header(self._disk, handle)
            broken = []
        except Damaged as damage:
            at = find_frame(self._disk, handle, extent.name.mark, 0, extent.limit)
            offset = extent.limit if at is None else at
            broken = [Damage(extent.name.text, 0, offset, damage.reason)]
        except BaseException:
            self._disk.close(handle)
            raise
        self._leave(extent, broken)
        self._handle, self._offset = handle, offset

    def _leave(self, extent: Extent, broken: list[Damage]) -> None:
        """Go on in the next segment, remembering what was unreadable on the way there."""
        unreadable = self._unreadable
        self.close()
        self._name, self._offset = extent.name, extent.limit
        self._unreadable = unreadable + broken

    def _read_group(self, extent: Extent) -> list[Stored]:
        """The next frames that belong together and are not repeated behind this segment. A group cut off at the end of
        a segment never happened, unless the next one's total says so."""
        start, unreadable = self._offset, list(self._unreadable)
        try:
            return self._group_from_here(extent)
        except OSError:
            self._offset, self._unreadable = start, unreadable
            raise

    def _group_from_here(self, extent: Extent) -> list[Stored]:
        assert self._handle is not None
        group: list[Stored] = []
        while self._offset < extent.limit:
            try:
                frame, body = read_frame(self._disk, self._handle, extent.name.mark, self._offset, extent.limit)
            except Damaged as damage:
                at = find_frame(self._disk, self._handle, extent.name.mark, self._offset + 1, extent.limit)
                end = extent.limit if at is None else at
                self._unreadable.append(Damage(extent.name.text, self._offset, end - self._offset, damage.reason))
                self._offset = end
                if group and at is not None:
                    return group  # more was written behind the damage, so the group had been completed
                continue
            self._offset = frame.end
            if frame.seq > extent.last or frame.total + frame.count > extent.end_total:
                continue
            group.append(Stored(frame, body))
            if not frame.more:
                return group
        completed = bool(group) and extent.end_total > group[0].frame.total
        return group if completed else []

    def _take(self, stored: Stored, name: Name | None, extents: Sequence[Extent], reading: Reading) -> int:
        """Add the frame to what was read, and note what is missing before it; returns how many bytes of documents it
        adds."""
        frame = stored.frame
        if frame.seq < self._seq:
            return 0  # finished before this reader began, or written again after a failed fsync
        self._miss(frame.seq - 1, frame.total, name, extents, reading)
        reading.stored.append(stored)
        self._seq, self._total = frame.seq + 1, frame.total + frame.count
        return frame.raw_len

    def _miss(self, last: int, total: int, name: Name | None, extents: Sequence[Extent], reading: Reading) -> None:
        """The frames from here up to ``last`` are not there; ``total`` is the queue's behind them, and ``name`` the
        segment where the next frame was found."""
        unreadable, self._unreadable = self._unreadable, []
        here = name.text if name is not None else ""
        places = [place for place in unreadable if place.length and (place.file == here or total > self._total)]
        oldest, before_oldest = (extents[0].name.base, extents[0].begin_total) if extents else (last + 1, total)
        if self._seq < oldest and self._total <= before_oldest <= total:
            self._gap(min(last, oldest - 1), before_oldest, UNKNOWN_FATE, [], reading)
        self._gap(last, total, DAMAGED, places, reading)

    def _gap(self, last: int, total: int, fate: str, places: list[Damage], reading: Reading) -> None:
        if self._seq <= last:
            reading.gaps.append(Gap(Range(self._seq, last, max(0, total - self._total), total), fate, places))
            self._seq, self._total = last + 1, total
