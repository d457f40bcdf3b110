"""A walk over every byte of a queue, oldest first, for the commands that look at all of it. Blocking; writes nothing.

It can go beside a running agent. What the agent writes or deletes meanwhile is not taken for damage:

* A segment is read up to the size it has when the walk comes to it.
* A segment that is gone when the walk comes to it was deleted by the agent; nothing is said about what it held.
* Bytes at the end of a segment that no record is missing for are a write that never finished, or is under way.

Which frames count is the rule of ``reader``: a group does when its last frame is there, or when something says that it
was completed; what the segment behind begins with is taken there. Memory is one group.
"""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.queue import frame as frames
from agent.queue.cursor import PREFIX, SLOT_BYTES, Cursor, read_cursor
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Frame, Stored
from agent.queue.segment import MAGIC, Header, Name, UnknownVersion, find_frame, path_of, read_frame, read_header

_BLOCK = 1024 * 1024
_HEADER_HEAD = 20  # bytes of a segment's header before its msgpack


class Entered(msgspec.Struct, frozen=True):
    """The walk has come to a segment of ``size`` bytes. ``header`` is None when it is damaged."""

    name: Name
    size: int
    header: Header | None


class Good(msgspec.Struct, frozen=True):
    """A frame whose checksum holds. ``repeat`` when it does not count: it was written again, after a failed sync."""

    name: Name
    stored: Stored
    repeat: bool


class Damage(msgspec.Struct, frozen=True):
    """Bytes that are no frame and no header."""

    file: str
    offset: int
    size: int
    reason: str


class Unfinished(msgspec.Struct, frozen=True):
    """Bytes at the end of a segment that were never completely written: no record is missing for them."""

    file: str
    offset: int
    size: int


class Missing(msgspec.Struct, frozen=True):
    """Frames ``first`` to ``last`` should lie before this place and do not; the totals on both sides say how many
    ``records`` they held."""

    file: str
    offset: int
    first: int
    last: int
    records: int


class Contradiction(msgspec.Struct, frozen=True):
    """A frame that was read well, or a cursor, does not agree with the rest."""

    file: str
    offset: int
    text: str


Piece = Entered | Good | Damage | Unfinished | Missing | Contradiction


class Walk:
    """One walk over the segments ``names``, oldest first. ``seq`` is the next frame expected and ``total`` the queue's
    total before it, as of now; ``in_sequence`` says whether they are known.

    With ``durable`` the newest segment is synced before it is read, so that nothing is given that a power cut could
    un-write.
    """

    def __init__(self, disk: Disk, folder: Path, *, durable: bool = False) -> None:
        self.seq = 0
        self.total = 0
        self._disk = disk
        self._folder = folder
        self._durable = durable
        self.names = segment_names(disk, folder)
        self.in_sequence = False
        self._tail: Unfinished | Damage | None = None

    def __iter__(self) -> Iterator[Piece]:
        """Everything there is, in order. Raises ``OSError`` when this process may not open a file, or has no room to:
        that is not the file's fault."""
        for i, name in enumerate(self.names):
            try:
                handle = self._disk.open(path_of(self._folder, name))
            except FileNotFoundError:
                self.in_sequence = False
                continue
            except OSError as error:
                _raise_if_ours(error)
                yield Damage(name.text, 0, 0, f"cannot be opened: {error.strerror}")
                continue
            try:
                yield from self._segment(name, handle, self.names[i + 1 :])
            finally:
                self._disk.close(handle)
        if self._tail is not None:
            yield self._tail

    def _segment(self, name: Name, handle: int, later: Sequence[Name]) -> Iterator[Piece]:
        offset = size = 0
        try:
            size = self._disk.size(handle)
            if self._durable and not later:
                self._disk.sync(handle)
            try:
                header, offset = read_header(self._disk, handle)
            except UnknownVersion as newer:
                yield Entered(name, size, None)
                yield Damage(name.text, 0, size, newer.reason)
                return
            except Damaged as damage:
                at = find_frame(self._disk, handle, name.mark, 0, size)
                yield Entered(name, size, None)
                if at is None:
                    yield from self._leave(self._end(name, handle, 0, size, damage.reason))
                    return
                yield Damage(name.text, 0, at, damage.reason)
                offset = at
            else:
                yield Entered(name, size, header)
                if (header.base, header.mark) != (name.base, name.mark):
                    yield Contradiction(name.text, 0, "the header is another segment's")
                yield from self._arrive(name, 0, header.base, header.total)
            following = self._next_header(later)
            group: list[Stored] = []
            while offset < size:
                try:
                    frame, body = self._read(name, handle, offset, size)
                except Damaged as damage:
                    size = min(size, self._disk.size(handle))  # the agent may have taken back what no sync made durable
                    at = find_frame(self._disk, handle, name.mark, offset + 1, size)
                    if at is None:
                        break
                    yield Damage(name.text, offset, at - offset, damage.reason)
                    yield from self._take(name, group)  # more was written behind it, so the group had been completed
                    group, offset = [], at
                    continue
                offset = frame.end
                if following and (frame.seq >= following.base or frame.total + frame.count > following.total):
                    yield Good(name, Stored(frame, body), True)
                    continue
                group.append(Stored(frame, body))
                if not frame.more:
                    yield from self._take(name, group)
                    group = []
            yield from self._finish(name, handle, group, offset, size, following)
        except OSError as error:
            yield Damage(name.text, offset, max(0, size - offset), f"cannot be read: {error.strerror}")

    def _read(self, name: Name, handle: int, offset: int, size: int) -> tuple[Frame, bytes]:
        """The frame at ``offset``, looked at twice before it is called damaged: the agent may have written it again."""
        try:
            return read_frame(self._disk, handle, name.mark, offset, size)
        except Damaged:
            return read_frame(self._disk, handle, name.mark, offset, size)

    def _finish(
        self, name: Name, handle: int, group: list[Stored], offset: int, size: int, following: Header | None
    ) -> Iterator[Piece]:
        """The end of a segment: whether a group without its last frame had been completed, and what the bytes behind
        the last frame are."""
        start = offset
        if group and following is not None and following.total > group[0].frame.total:
            yield from self._take(name, group)
        elif group:
            start = group[0].frame.offset
        if offset < size:
            end = self._end(name, handle, offset, size, "does not hold a frame")
            if isinstance(end, Unfinished):
                end = Unfinished(name.text, start, size - start)
            yield from self._leave(end)
        elif start < size:
            yield from self._leave(Unfinished(name.text, start, size - start))

    def _end(self, name: Name, handle: int, offset: int, size: int, reason: str) -> Unfinished | Damage:
        """What the bytes from ``offset`` to the end of a segment are, as far as they tell."""
        cut: bool
        if offset == 0:
            cut = _header_is_cut(self._disk, handle, size)
        else:
            head = self._disk.read(handle, frames.HEAD.size, offset)
            try:
                cut = len(head) < frames.HEAD.size or offset + frames.frame_size(head, name.mark) > size
            except Damaged:
                cut = False
        if cut or _is_zero(self._disk, handle, offset, size):
            return Unfinished(name.text, offset, size - offset)
        if offset:
            try:
                read_frame(self._disk, handle, name.mark, offset, size)
            except Damaged as damage:
                reason = damage.reason
        return Damage(name.text, offset, size - offset, reason)

    def _leave(self, tail: Unfinished | Damage) -> Iterator[Piece]:
        """The segment ends in this. What it is shows when the next place is known."""
        if self._tail is not None:
            yield self._tail
        self._tail = tail

    def _arrive(self, name: Name, offset: int, seq: int, total: int) -> Iterator[Piece]:
        """A header or a frame says where the walk is; what should have come before it and did not is missing."""
        if self.in_sequence and seq < self.seq:
            return
        tail, self._tail = self._tail, None
        missing = max(0, total - self.total) if self.in_sequence and seq > self.seq else 0
        if isinstance(tail, Unfinished) and missing:
            tail = Damage(tail.file, tail.offset, tail.size, "cut short")
        if tail is not None:
            yield tail
        if missing:
            yield Missing(name.text, offset, self.seq, seq - 1, missing)
        elif self.in_sequence and total != self.total and (seq == self.seq or total < self.total):
            text = f"{total} records are said to lie before frame {seq}, but it is {self.total}"
            yield Contradiction(name.text, offset, text)
        self.seq, self.total, self.in_sequence = seq, total, True

    def _take(self, name: Name, group: list[Stored]) -> Iterator[Piece]:
        for stored in group:
            frame = stored.frame
            repeat = self.in_sequence and frame.seq < self.seq
            if not repeat:
                yield from self._arrive(name, frame.offset, frame.seq, frame.total)
                self.seq, self.total = frame.seq + 1, frame.total + frame.count
            yield Good(name, stored, repeat)

    def _next_header(self, later: Sequence[Name]) -> Header | None:
        """What the segment behind says of where it begins, if that is readable."""
        if not later:
            return None
        try:
            handle = self._disk.open(path_of(self._folder, later[0]))
        except OSError:
            return None
        try:
            return read_header(self._disk, handle)[0]
        except (Damaged, OSError):
            return None
        finally:
            self._disk.close(handle)


def segment_names(disk: Disk, folder: Path) -> list[Name]:
    """The segments in the folder, oldest first."""
    return sorted(name for name in map(Name.parse, disk.names(folder)) if name is not None)


def read_cursors(disk: Disk, folder: Path) -> dict[str, Cursor | None]:
    """The cursor of every output by its name, None where it is not readable."""
    found: dict[str, Cursor | None] = {}
    for text in sorted(disk.names(folder)):
        if text.startswith(PREFIX):
            try:
                handle = disk.open(folder / text)
            except FileNotFoundError:
                continue
            except OSError as error:
                _raise_if_ours(error)
                found[text.removeprefix(PREFIX)] = None
                continue
            try:
                cursor = read_cursor(disk, handle)
            except OSError:
                cursor = None
            finally:
                disk.close(handle)
            found[text.removeprefix(PREFIX)] = cursor[0] if cursor is not None else None
    return found


def is_being_made(disk: Disk, path: Path) -> bool:
    """Whether a cursor file that was not readable is made and not written yet, or is written by now."""
    try:
        handle = disk.open(path)
    except OSError:
        return False
    try:
        return not disk.read(handle, 2 * SLOT_BYTES, 0).strip(b"\0") or read_cursor(disk, handle) is not None
    except OSError:
        return False
    finally:
        disk.close(handle)


def _raise_if_ours(error: OSError) -> None:
    """Raise what says nothing about the file."""
    if error.errno in {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
        raise error


def _header_is_cut(disk: Disk, handle: int, size: int) -> bool:
    """Whether a segment without a frame ends before its header does."""
    head = disk.read(handle, _HEADER_HEAD, 0)
    if len(head) < _HEADER_HEAD:
        return True
    return head[:8] == MAGIC and _HEADER_HEAD + int.from_bytes(head[12:16], "little") > size


def _is_zero(disk: Disk, handle: int, offset: int, size: int) -> bool:
    while offset < size:
        block = disk.read(handle, min(_BLOCK, size - offset), offset)
        if block.strip(b"\0"):
            return False
        if not block:
            return True
        offset += len(block)
    return True
