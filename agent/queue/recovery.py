"""What a queue folder holds: read at every start, and by the commands that look at a queue without touching it.

Start-up reads the head of each segment and the frames of the newest one; older frames are checked when they are read.
Nothing here fails for what is in the files: damage is a fact to report, not an error. Nothing here writes.
"""

from pathlib import Path

import msgspec

from agent.queue import cursor as cursors
from agent.queue.cursor import Cursor
from agent.queue.disk import Disk
from agent.queue.frame import Damaged
from agent.queue.segment import Header, Name, find_frame, path_of, read_frame, read_header, scan
from agent.queue.state import State


class Found(msgspec.Struct):
    """A segment on disk. ``begin_total`` is the queue's total before its first frame, as far as anything readable says;
    ``first`` the offset of the first frame."""

    name: Name
    size: int
    first: int
    begin_total: int | None
    header: Header | None
    damage: str | None = None


class Recovered(msgspec.Struct):
    """What a queue folder holds. ``state`` has the last sequence number and total, as far as anything here says."""

    segments: list[Found] = []
    state: State = msgspec.field(default_factory=State)
    cursors: dict[str, tuple[Cursor, int]] = {}
    unreadable_cursors: list[str] = []


def recover(disk: Disk, folder: Path) -> Recovered:
    """Read the folder. Raises ``OSError`` only when the folder itself cannot be listed."""
    recovered = Recovered()
    names = disk.names(folder)
    for name in sorted(name for name in map(Name.parse, names) if name is not None):
        found = _look_at(disk, folder, name)
        if found is not None:
            recovered.segments.append(found)
    _read_tail(disk, folder, recovered)
    for text in sorted(names):
        if text.startswith(cursors.PREFIX):
            _read_cursor(disk, folder, text, recovered)
    state = recovered.state
    for found in recovered.segments:
        state.seq = max(state.seq, found.name.base - 1)
    for cursor, _ in recovered.cursors.values():
        last = cursor.done[-1] if cursor.done else None
        state.seq = max(state.seq, cursor.low, last.last if last else 0)
        state.total = max(state.total, cursor.low_total, last.total if last else 0)
    return recovered


def _look_at(disk: Disk, folder: Path, name: Name) -> Found | None:
    """The head of one segment; None when it cannot even be opened."""
    try:
        handle = disk.open(path_of(folder, name))
    except OSError:
        return None
    try:
        size = disk.size(handle)
        try:
            header, first = read_header(disk, handle)
            return Found(name, size, first, header.total, header)
        except Damaged as damage:
            at = find_frame(disk, handle, name.mark, 0, size)
            total = None if at is None else read_frame(disk, handle, name.mark, at, size)[0].total
            return Found(name, size, size if at is None else at, total, None, damage.reason)
    except OSError as error:
        return Found(name, 0, 0, None, None, f"cannot be read: {error}")
    finally:
        disk.close(handle)


def _read_tail(disk: Disk, folder: Path, recovered: Recovered) -> None:
    """Positions and counts: the newest readable header, and every group behind it."""
    state = recovered.state
    start = 0
    for i, found in reversed(list(enumerate(recovered.segments))):
        if found.header is not None:
            state.origins = {(o.input, o.source): o for o in found.header.origins}
            state.counts = dict(found.header.counts)
            start = i
            break
    for found in recovered.segments[start:]:
        state.total = max(state.total, found.begin_total or 0)
        _apply(disk, folder, found, state)


def _apply(disk: Disk, folder: Path, found: Found, state: State) -> None:
    """Apply the groups of one segment to the state."""
    try:
        handle = disk.open(path_of(folder, found.name))
    except OSError:
        return
    try:
        for frame, _ in scan(disk, handle, found.name.mark, found.first, found.size):
            state.seq = max(state.seq, frame.seq)
            if not frame.more:
                state.apply(frame.seq, frame.total + frame.count, frame.meta.origins, frame.meta.counts)
    except OSError:
        pass  # what could be read counts; the reader will meet the same error and report it
    finally:
        disk.close(handle)


def _read_cursor(disk: Disk, folder: Path, text: str, recovered: Recovered) -> None:
    output = text.removeprefix(cursors.PREFIX)
    try:
        handle = disk.open(folder / text)
        try:
            found = cursors.read_cursor(disk, handle)
        finally:
            disk.close(handle)
    except OSError:
        found = None
    if found is None:
        recovered.unreadable_cursors.append(output)
    else:
        recovered.cursors[output] = found
