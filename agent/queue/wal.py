"""The write-ahead log: segments, the end they are written at, and what they add up to. Blocking, and free of policy.

``append``, ``rewrite``, ``seal`` and ``delete`` run on the queue's writing thread, ``sync`` on either, one at a time;
nothing else changes the state, so there are no locks. Everything else only reads it.

A failed write leaves nothing behind (the segment is cut back, or sealed if even that fails) and can be called again.
After a failed sync nothing written since the last good one can be trusted, whatever a later sync says: ``rewrite``
writes those groups again, same sequence numbers, to a new segment. What was written before may come back after a power
cut; it lies before the new segment, at or behind that one's base, and is passed over there.
"""

import contextlib
import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from agent.queue import segment as segments
from agent.queue.disk import Disk
from agent.queue.frame import Stored
from agent.queue.group import Entry, Group, encode_group
from agent.queue.reader import Extent
from agent.queue.recovery import Recovered
from agent.queue.segment import Header, Name, path_of
from agent.record import Counts

_MOST_RECENT = 2
"""Frames kept at hand after their sync: enough for a trickle, and no memory to speak of."""


class Segment(msgspec.Struct, eq=False):
    """One segment. ``size`` is how far it is written, ``limit`` how far it is synced and readers may go. ``last`` is
    the last sequence number written to it; ``begin_total`` and ``end_total`` are the queue's totals before and behind
    it. ``made_at_ms`` is when it was begun, 0 when its header does not say. ``has_positions`` says whether its header
    is whole. ``handle`` is open while there may be something to sync."""

    name: Name
    size: int
    limit: int
    last: int
    begin_total: int
    end_total: int
    made_at_ms: int = 0
    has_positions: bool = True
    handle: int | None = None


class WriteAheadLog:
    """See the module. ``show_unsynced`` says whether frames are visible before their sync (``sync: never``).
    ``cursors`` gives the encoded cursors of all outputs, for the headers; it is called on the writing thread."""

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        run: str,
        recovered: Recovered,
        *,
        segment_bytes: int,
        show_unsynced: bool,
        cursors: Callable[[], Mapping[str, bytes]] = dict,
    ) -> None:
        self.segments = _known(recovered)
        self.state = recovered.state
        """What is written: the state that positions and counts are read from."""
        self._durable = recovered.state.copy()
        self.recent: list[Stored] = []
        """The frames the last sync made visible, if they are few."""
        self._disk = disk
        self._folder = folder
        self._run = run
        self._segment_bytes = segment_bytes
        self._show_unsynced = show_unsynced
        self._cursors = cursors
        self._newest = max(((s.name.base, s.name.again) for s in self.segments), default=(0, 0))
        self._active: Segment | None = None
        self._unsynced: list[tuple[Segment, Group, int]] = []

    @property
    def used_bytes(self) -> int:
        """Bytes the segments take on disk."""
        return sum(segment.size for segment in self.segments)

    @property
    def has_unsynced(self) -> bool:
        """Whether a sync would make anything durable."""
        return bool(self._unsynced)

    @property
    def visible_seq(self) -> int:
        """The last sequence number readers may see."""
        return self._durable.seq

    @property
    def visible(self) -> tuple[int, int]:
        """The same, and the queue's total behind it."""
        return self._durable.seq, self._durable.total

    @property
    def is_full(self) -> bool:
        """Whether the active segment has its size: then sync, and seal."""
        return self._active is not None and self._active.size >= self._segment_bytes

    @property
    def must_sync_first(self) -> bool:
        """Whether the next append would begin a segment before the last one is durable. It must not: its records and
        positions could survive a power cut that takes those before them."""
        return self._active is None and bool(self._unsynced)

    def extents(self) -> list[Extent]:
        """What readers may read, oldest first."""
        return [Extent(s.name, s.limit, s.last, s.begin_total, s.end_total) for s in self.segments]

    def reach(self, seq: int, total: int) -> int:
        """An output knows that the queue had come this far: numbers go on from there, and what is not here any more is
        missing. Only before the first append. Returns how many records that are."""
        self.state.reach(seq, total)
        return self._durable.reach(seq, total)

    def append(self, entries: list[Entry]) -> None:
        """Write the entries as one group. Raises ``OSError`` with nothing changed."""
        if self.must_sync_first:
            raise OSError(errno.EAGAIN, "what was written before is not durable yet")
        counts = self._counts_with(entries)
        durable = 0 if self._show_unsynced else self._durable.seq
        group = encode_group(self._run, self.state.seq, self.state.total, entries, counts, durable)
        self._write(group, self.state.total)
        self.state.apply(group.seq, group.total, group.origins, group.counts)
        if self._show_unsynced:
            self._durable.apply(group.seq, group.total, group.origins, group.counts)

    def sync(self) -> None:
        """Make durable, and visible, what was written when the call began. Raises ``OSError``: then call
        ``rewrite``."""
        unsynced = list(self._unsynced)
        ends: dict[int, tuple[Segment, int]] = {}
        for segment, _, end in unsynced:
            ends[id(segment)] = (segment, end)
        for segment, end in ends.values():
            assert segment.handle is not None
            self._disk.sync(segment.handle)
            segment.limit = max(segment.limit, end)
        for _, group, _ in unsynced:
            self._durable.apply(group.seq, group.total, group.origins, group.counts)
        del self._unsynced[: len(unsynced)]
        self.recent = [stored for _, group, _ in unsynced for stored in group.stored]
        if len(self.recent) > _MOST_RECENT:
            self.recent = []

    def confirm(self) -> None:
        """Before a close: write an empty frame, which says that what is durable is. Without it, damage to one of the
        last frames could be taken for one that never was. Raises ``OSError``; then it could not be said."""
        if self._active is not None and not self._unsynced and self._active.last >= self._active.name.base:
            self.append([])
            self.sync()

    def rewrite(self) -> None:
        """After a failed sync: write every group since the last good one again, to a new segment. Raises ``OSError``:
        then call it again."""
        self._active = None
        groups = list(self._unsynced)
        if not groups:
            return
        for segment in self.segments:
            if segment.limit < segment.size or segment.name.base > self._durable.seq:
                self._take_back(segment)
        self._unsynced = []
        try:
            total = self._durable.total
            for _, group, _ in groups:
                self._write(group, total)
                total = group.total
        except OSError:
            self._active, self._unsynced = None, groups
            raise

    def seal(self) -> None:
        """Close the active segment for writing; the next append starts another. An empty one stays open."""
        if self._active is not None and self._active.last >= self._active.name.base:
            self._active = None

    def delete(self, segment: Segment) -> None:
        """Delete a sealed segment, if nobody did meanwhile. What it held must be finished for every output, durably."""
        if all(s is not segment for s in self.segments):
            return
        self._close(segment)
        with contextlib.suppress(FileNotFoundError):  # deleted by someone else, or by a call that failed too late
            self._disk.unlink(path_of(self._folder, segment.name))
        self.segments = [s for s in self.segments if s is not segment]  # others may be looping over the old list

    def is_sealed(self, segment: Segment) -> bool:
        """Whether nothing more will be written to the segment, and all of it is synced."""
        return segment is not self._active and (segment.handle is None or segment.limit == segment.size)

    def close(self) -> None:
        """Close every file."""
        for segment in self.segments:
            self._close(segment)

    def _write(self, group: Group, total: int) -> None:
        """Write a group behind ``total`` records."""
        self._close_finished()
        segment = self._active or self._start_segment(group.base, total)
        assert segment.handle is not None
        try:
            written = self._disk.write(segment.handle, group.buffers(segment.name.mark), segment.size)
        except OSError:
            self._undo(segment)
            raise
        segment.size += written
        segment.last, segment.end_total = group.seq, group.total
        if self._show_unsynced:
            segment.limit = segment.size
        else:
            self._unsynced.append((segment, group, segment.size))

    def _start_segment(self, base: int, total: int) -> Segment:
        mark = segments.new_mark()
        # Each attempt sorts behind those before it, also one that failed and may come back after a power cut.
        again = self._newest[1] + 1 if self._newest[0] == base else 0
        self._newest = base, again
        name = Name(base, again, mark)
        durable = self._durable
        origins = list(durable.origins.values())
        now_ms = time.time_ns() // 1_000_000
        header = Header(self._run, mark, base, total, origins, dict(durable.counts), now_ms, dict(self._cursors()))
        path = path_of(self._folder, name)
        handle = self._disk.create(path)
        try:
            size = self._disk.write(handle, [segments.encode_header(header)], 0)
            self._disk.sync(handle)
            self._disk.sync_folder(self._folder)
        except OSError:
            self._disk.close(handle)
            self._disk.unlink(path)
            raise
        segment = Segment(name, size, size, base - 1, total, total, now_ms, handle=handle)
        self.segments = [*self.segments, segment]
        self._active = segment
        return segment

    def _undo(self, segment: Segment) -> None:
        assert segment.handle is not None
        try:
            self._disk.truncate(segment.handle, segment.size)
        except OSError:
            self._active = None

    def _take_back(self, segment: Segment) -> None:
        """Remove from a segment what no sync made durable. Nobody has seen it; where it cannot be removed, the next
        segment's base says that it does not count."""
        if segment.name.base > self._durable.seq:
            with contextlib.suppress(OSError):
                return self.delete(segment)
        if segment.handle is not None:
            with contextlib.suppress(OSError):
                self._disk.truncate(segment.handle, segment.limit)
        segment.size = segment.limit
        segment.last, segment.end_total = self._durable.seq, self._durable.total
        self._close(segment)

    def _close_finished(self) -> None:
        """Close what needs no more syncs. Only here and on the writing thread, so that no sync meets a closed file."""
        for segment in self.segments:
            if segment.handle is not None and segment is not self._active and segment.limit == segment.size:
                self._close(segment)

    def _close(self, segment: Segment) -> None:
        if segment.handle is not None:
            self._disk.close(segment.handle)
            segment.handle = None

    def _counts_with(self, entries: list[Entry]) -> dict[str, Counts]:
        """The cumulative counts of the inputs these entries come from, with them."""
        counts: dict[str, Counts] = {}
        for entry in entries:
            if entry.input not in counts:
                old = self.state.counts.get(entry.input, Counts())
                counts[entry.input] = Counts(old.accepted, old.bytes, dict(old.dropped), dict(old.noted))
            counts[entry.input].add(entry.counts)
        return counts


def _known(recovered: Recovered) -> list[Segment]:
    """The segments found at start. Where one ends is what the next one says; the newest ends where the queue does."""
    known: list[Segment] = []
    last, total = recovered.state.seq, recovered.state.total
    for found in reversed(recovered.segments):
        begin = found.begin_total if found.begin_total is not None else total
        header = found.header
        made_at_ms = header.made_at_ms if header is not None else 0
        known.append(Segment(found.name, found.size, found.end, last, begin, total, made_at_ms, header is not None))
        last, total = found.name.base - 1, begin
    return known[::-1]
