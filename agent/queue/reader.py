"""Reads frames in order for one output. Blocking; runs on the queue's reading thread.

A reader keeps one open segment and an offset: its memory does not depend on the backlog. Damage, missing segments and
repeats (a group written again after a failed fsync) are passed over; what was lost is known from the totals on both
sides and returned as gaps.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.queue.cursor import Range
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Stored
from agent.queue.segment import Name, find_frame, path_of, read_frame, read_header


class Extent(msgspec.Struct, frozen=True):
    """What may be read of a segment: bytes before ``limit``. ``sealed`` when no more will come."""

    name: Name
    limit: int
    sealed: bool


class Reading(msgspec.Struct):
    """What one call read. ``gaps`` are frames that are not there any more, with the number of records they held.
    ``damage`` are places that could not be read."""

    stored: list[Stored] = []
    gaps: list[Range] = []
    damage: list[str] = []


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

    @property
    def next_seq(self) -> int:
        """The next frame this reader wants."""
        return self._seq

    def pass_over(self, stored: Sequence[Stored]) -> None:
        """These frames, which follow the last one read, were had from elsewhere."""
        last = stored[-1].frame
        self._seq, self._total = last.seq + 1, last.total + last.count

    def read(self, extents: Sequence[Extent], low: int, low_total: int, max_bytes: int) -> Reading:
        """Frames from here on, at least one if there is one, until ``max_bytes`` of documents (uncompressed) are
        reached.

        ``extents`` are the segments as of now, oldest first; ``low`` and ``low_total`` the cursor's, which may have
        moved past this reader. Raises ``OSError`` when the disk does; the place is kept.
        """
        if low >= self._seq:
            self._seq, self._total = low + 1, low_total
            self.close()
        reading = Reading()
        size = 0
        while size < max_bytes:
            extent = self._enter(extents, reading)
            if extent is None:
                break
            group = self._read_group(extent, extents, reading)
            for stored in group:
                size += self._take(stored, reading)
        return reading

    def close(self) -> None:
        """Close the open segment; the place is kept by sequence number."""
        if self._handle is not None:
            self._disk.close(self._handle)
        self._name = self._handle = None

    def _enter(self, extents: Sequence[Extent], reading: Reading) -> Extent | None:
        """The extent to read from, with its segment open and something left in it; None when all is read."""
        while True:
            here = next((e for e in extents if e.name == self._name), None)
            if here is not None and self._offset < here.limit:
                return here
            if here is not None and not here.sealed:
                return None
            if here is None:
                self.close()  # deleted: find the place again by sequence number
            following = self._following(extents)
            if following is None:
                return None
            self._open(following, reading)

    def _following(self, extents: Sequence[Extent]) -> Extent | None:
        if self._name is not None:
            current = self._name
            return next((e for e in extents if e.name > current), None)
        before = [e for e in extents if e.name.base <= self._seq]
        return before[-1] if before else (extents[0] if extents else None)

    def _open(self, extent: Extent, reading: Reading) -> None:
        self.close()
        handle = self._disk.open(path_of(self._folder, extent.name))
        try:
            _, self._offset = read_header(self._disk, handle)
        except Damaged as damage:
            reading.damage.append(f"{extent.name.text}: {damage.reason}")
            at = find_frame(self._disk, handle, extent.name.mark, 0, extent.limit)
            self._offset = extent.limit if at is None else at
        except BaseException:
            self._disk.close(handle)
            raise
        self._name, self._handle = extent.name, handle

    def _read_group(self, extent: Extent, extents: Sequence[Extent], reading: Reading) -> list[Stored]:
        """The next frames that belong together. A group cut off at the end of a segment never happened, unless totals
        behind it say so."""
        assert self._handle is not None
        group: list[Stored] = []
        while self._offset < extent.limit:
            try:
                frame, body = read_frame(self._disk, self._handle, extent.name.mark, self._offset, extent.limit)
            except Damaged as damage:
                at = find_frame(self._disk, self._handle, extent.name.mark, self._offset + 1, extent.limit)
                reading.damage.append(f"{extent.name.text}: {damage.reason} at byte {self._offset}")
                self._offset = extent.limit if at is None else at
                if group and at is not None:
                    return group  # more was written behind the damage, so the group had been completed
                continue
            self._offset = frame.end
            group.append(Stored(frame, body))
            if not frame.more:
                return group
        if group and self._was_completed(group, extent, extents):
            return group
        return []

    def _was_completed(self, group: list[Stored], extent: Extent, extents: Sequence[Extent]) -> bool:
        behind = next((e for e in extents if e.name > extent.name), None)
        if behind is None:
            return False
        handle = self._disk.open(path_of(self._folder, behind.name))
        try:
            return read_header(self._disk, handle)[0].total > group[0].frame.total
        except Damaged:
            return False
        finally:
            self._disk.close(handle)

    def _take(self, stored: Stored, reading: Reading) -> int:
        """Add the frame to what was read, and note what is missing before it; returns how many bytes of documents it
        adds."""
        frame = stored.frame
        if frame.seq < self._seq:
            return 0  # finished before this reader began, or written again after a failed fsync
        if frame.seq > self._seq:
            missing = max(0, frame.total - self._total)
            reading.gaps.append(Range(self._seq, frame.seq - 1, missing, frame.total))
        reading.stored.append(stored)
        self._seq = frame.seq + 1
        self._total = frame.total + frame.count
        return frame.raw_len
