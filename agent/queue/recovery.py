"""What a queue folder holds: read at every start, and by the commands that look at a queue without touching it.

Start-up reads the head of each segment and the frames of the newest one; older frames are checked when they are read.
Nothing here fails for what is in the files: damage is a fact to report, not an error. Nothing here writes.
"""

from pathlib import Path

import msgspec

from agent.queue import cursor as cursors
from agent.queue import frame as frames
from agent.queue.cursor import Cursor
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Frame
from agent.queue.segment import Header, Name, UnknownVersion, find_frame, path_of, read_frame, read_header, scan
from agent.queue.state import State
from agent.queue.tail import Tail

FORGOTTEN = "forgotten-"
"""Before the name of an output: its cursor was deleted on purpose and is not to be had back from a header."""


class Found(msgspec.Struct):
    """A segment on disk. ``begin_total`` is the queue's total before its first frame, as far as anything readable says;
    ``first`` the offset of the first frame, ``end`` the one behind which nothing counts."""

    name: Name
    size: int
    first: int
    end: int
    begin_total: int | None
    header: Header | None
    damage: str | None = None


class Unusable(msgspec.Struct):
    """Something under a name of the queue's that cannot be read at all, or not by this version."""

    name: str
    reason: str
    newer: bool = False


class Recovered(msgspec.Struct):
    """What a queue folder holds.

    ``state`` has the last sequence number and total, as far as anything here says. ``torn`` are the bytes of the newest
    segment behind the last frame that counts: most likely what power or process did not live to complete.
    ``missing`` are records that only a cursor still knows of, ``unknown``
    those whose counts and positions were damaged. ``lost_cursors`` are what the newest header says of
    outputs that have no cursor file.
    """

    segments: list[Found] = []
    state: State = msgspec.field(default_factory=State)
    cursors: dict[str, tuple[Cursor, int]] = {}
    unreadable_cursors: list[str] = []
    lost_cursors: dict[str, Cursor] = {}
    unusable: list[Unusable] = []
    torn: int = 0
    missing: int = 0
    unknown: int = 0


def recover(disk: Disk, folder: Path) -> Recovered:
    """Read the folder. Raises ``OSError`` only when the folder itself cannot be listed."""
    recovered = Recovered()
    names = disk.names(folder)
    for name in sorted(name for name in map(Name.parse, names) if name is not None):
        _look_at(disk, folder, name, recovered)
    for text in sorted(names):
        if text.startswith(cursors.PREFIX):
            _read_cursor(disk, folder, text, recovered)
    snapshot = _read_tail(disk, folder, recovered)
    for output, cursor in snapshot.items():
        if output in recovered.unreadable_cursors:
            recovered.cursors[output] = (cursor, 0)
        elif output not in recovered.cursors and f"{FORGOTTEN}{output}" not in names:
            recovered.lost_cursors[output] = cursor
    state = recovered.state
    for found in recovered.segments:
        state.seq = max(state.seq, found.name.base - 1)
    for cursor, _ in recovered.cursors.values():
        recovered.missing += state.reach(*cursor.end)
    return recovered


def _look_at(disk: Disk, folder: Path, name: Name, recovered: Recovered) -> None:
    """The head of one segment."""
    try:
        handle = disk.open(path_of(folder, name))
    except FileNotFoundError:
        return  # deleted by the agent that runs on this folder
    except OSError as error:
        recovered.unusable.append(Unusable(name.text, error.strerror or str(error)))
        return
    try:
        size = disk.size(handle)
        try:
            header, first = read_header(disk, handle)
            found = Found(name, size, first, size, header.total, header)
        except UnknownVersion as newer:
            recovered.unusable.append(Unusable(name.text, newer.reason, newer=True))
            return
        except Damaged as damage:
            at = find_frame(disk, handle, name.mark, 0, size)
            total = None if at is None else read_frame(disk, handle, name.mark, at, size)[0].total
            found = Found(name, size, size if at is None else at, size, total, None, damage.reason)
    except OSError as error:
        recovered.unusable.append(Unusable(name.text, error.strerror or str(error)))
        return
    finally:
        disk.close(handle)
    recovered.segments.append(found)


def _read_tail(disk: Disk, folder: Path, recovered: Recovered) -> dict[str, Cursor]:
    """Positions and counts: the newest readable header, and every group behind it. Returns the header's cursors."""
    state = recovered.state
    newest: Header | None = None
    start = 0
    for i, found in reversed(list(enumerate(recovered.segments))):
        if found.header is not None:
            newest, start = found.header, i
            state.seq, state.total = newest.base - 1, newest.total
            state.origins = {(o.input, o.source): o for o in newest.origins}
            state.counts = dict(newest.counts)
            break
    readable = [(found, _frames(disk, folder, found)) for found in recovered.segments[start:]]
    tail = Tail(state, _proven(recovered, [frame for _, read in readable for frame in read]))
    for found, read in readable:
        counting = [frame for frame in read if tail.add(frame)]
        behind = counting[-1].end if counting else found.first if found.header else 0
        if len(counting) < len(read):
            found.end = behind
        recovered.torn = found.size - behind
        state.seq = max([state.seq, *(frame.seq for frame in read)])
    recovered.unknown = tail.close()
    # Frames may hide in bytes that cannot be read now: should they be readable again one day, their numbers are theirs.
    state.seq += -(-recovered.torn // frames.HEAD.size)
    return {} if newest is None else _decoded(newest.cursors)


def _frames(disk: Disk, folder: Path, found: Found) -> list[Frame]:
    """The readable frames of one segment, without their bodies."""
    read: list[Frame] = []
    try:
        handle = disk.open(path_of(folder, found.name))
    except OSError:
        return read
    try:
        for frame, _ in scan(disk, handle, found.name.mark, found.first, found.size):
            read.append(frame)
    except OSError:
        pass  # what could be read counts; the reader will meet the same error and report it
    finally:
        disk.close(handle)
    return read


def _proven(recovered: Recovered, read: list[Frame]) -> int:
    """The last frame that certainly was durable: a segment began behind it, a cursor is past it, or a later frame says
    so."""
    begun = [found.name.base - 1 for found in recovered.segments]
    finished = [cursor.end[0] for cursor, _ in recovered.cursors.values()]
    return max([0, *begun, *finished, *(frame.meta.durable for frame in read)])


def _decoded(snapshot: dict[str, bytes]) -> dict[str, Cursor]:
    known = {}
    for output, data in snapshot.items():
        try:
            known[output] = cursors.decode_cursor(data)
        except msgspec.DecodeError:
            continue  # a newer modeltail's, which this one cannot read
    return known


def _read_cursor(disk: Disk, folder: Path, text: str, recovered: Recovered) -> None:
    output = text.removeprefix(cursors.PREFIX)
    try:
        handle = disk.open(folder / text)
        try:
            found = cursors.read_cursor(disk, handle)
        finally:
            disk.close(handle)
    except OSError as error:
        recovered.unusable.append(Unusable(text, error.strerror or str(error)))
        found = None
    if found is None:
        recovered.unreadable_cursors.append(output)
    else:
        recovered.cursors[output] = found
