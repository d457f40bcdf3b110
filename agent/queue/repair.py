"""Repair of a queue nobody is using: what cannot be read is set aside in ``damaged/``, what can be read stays.

* A damaged segment is written again with its readable frames only, as they lie, under the next name of the same base
  and with the same sync mark. Then the old one is moved to ``damaged/``. Between the two both are there, and a reader
  passes over the second as repeats: a crash at any step leaves a queue that reads the same.
* The totals in the frames' heads stay, so what is missing is counted by every output as before.
* A segment of which nothing can be read, or of a newer format, is moved as it is. When it was the oldest, nothing in
  the queue says any more that it was there: its records then count as ``unknown`` instead of ``damaged``.
* A cursor that is not readable begins again where an agent would let it begin: at the oldest record.
* Temporary files that an interrupted repair left are removed.

What ``verify`` calls missing stays missing. Nothing is to be done twice: a second repair finds nothing.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from agent.queue.cursor import PREFIX, SLOT_BYTES, Cursor, encode_slot, encode_to_fit
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Frame
from agent.queue.recovery import Recovered, recover
from agent.queue.segment import (
    Header,
    Name,
    UnknownVersion,
    encode_header,
    find_frame,
    path_of,
    read_header,
    scan,
)
from agent.queue.state import State
from agent.queue.walk import Damage, Walk, read_cursors, segment_names
from agent.queue.wording import counted, plain

ASIDE: Final = "damaged"
"""The folder in the queue's folder for what could not be read."""
TEMPORARY: Final = ".tmp"


class Step(msgspec.Struct, frozen=True):
    """One thing to do to the file ``name``. ``damages`` is why; empty for a temporary file."""

    name: str
    damages: list[Damage]


def plan(disk: Disk, folder: Path) -> list[Step]:
    """What there is to do; nothing is changed. Reads every byte. Raises ``OSError`` when the folder cannot be
    listed."""
    steps = [Step(text, []) for text in sorted(disk.names(folder)) if text.endswith(TEMPORARY)]
    damages: dict[str, list[Damage]] = {}
    for piece in Walk(disk, folder):
        if isinstance(piece, Damage):
            damages.setdefault(piece.file, []).append(piece)
    steps += [Step(name, found) for name, found in damages.items()]
    for output, cursor in read_cursors(disk, folder).items():
        if cursor is None:
            name = PREFIX + output
            steps.append(Step(name, [Damage(plain(name), 0, 0, "neither of its two slots is readable")]))
    return steps


def carry_out(disk: Disk, folder: Path, steps: list[Step], tell: Callable[[str], None]) -> None:
    """Do it, in order, each step durable before the next. ``tell`` gets a sentence after each. The caller holds the
    queue's lock. Raises ``OSError``; what was not done is found again by the next ``plan``."""
    for step in steps:
        if step.name.endswith(TEMPORARY):
            disk.unlink(folder / step.name)
            tell(f"{plain(step.name)}: removed; an interrupted repair left it")
        elif step.name.startswith(PREFIX):
            tell(_renew_cursor(disk, folder, step.name))
        else:
            name = Name.parse(step.name)
            assert name is not None
            tell(_renew_segment(disk, folder, name, steps))


def _renew_segment(disk: Disk, folder: Path, name: Name, steps: list[Step]) -> str:
    names = segment_names(disk, folder)
    damaged = {step.name for step in steps}
    renewed = [n for n in names if n.mark == name.mark and n > name and n.text not in damaged]
    frames = records = 0
    if not renewed:
        header = _header(disk, folder, name, names)
        if header is not None:
            again = max(n.again for n in names if n.base == name.base) + 1
            new = Name(name.base, again, name.mark)
            frames, records = _write_again(disk, folder, name, new, header)
            renewed = [new]
    aside = _set_aside(disk, folder, name.text)
    if not renewed:
        return f"{name.text}: nothing in it can be read; moved to {aside}"
    kept = f"{counted(frames, 'readable frame')} with {counted(records, 'record')} kept in {renewed[-1].text}"
    return f"{name.text}: {kept}; moved to {aside}"


def _write_again(disk: Disk, folder: Path, old: Name, new: Name, header: Header) -> tuple[int, int]:
    """Write the readable frames of ``old`` as ``new``, durably; how many frames and records that is."""
    temporary = folder / f"repair-{new.text}{TEMPORARY}"
    source = disk.open(path_of(folder, old))
    try:
        target = disk.create(temporary)
        try:
            size = disk.write(target, [encode_header(header)], 0)
            frames = records = 0
            for frame in _readable(disk, source, old):
                size += disk.write(target, [disk.read(source, frame.size, frame.offset)], size)
                frames += 1
                records += frame.count
            disk.sync(target)
        finally:
            disk.close(target)
    finally:
        disk.close(source)
    disk.rename(temporary, path_of(folder, new))
    disk.sync_folder(folder)
    return frames, records


def _readable(disk: Disk, handle: int, name: Name) -> Iterator[Frame]:
    """The readable frames of one segment."""
    size = disk.size(handle)
    try:
        _, offset = read_header(disk, handle)
    except Damaged:
        at = find_frame(disk, handle, name.mark, 0, size)
        offset = size if at is None else at
    try:
        for frame, _ in scan(disk, handle, name.mark, offset, size):
            yield frame
    except OSError:
        return  # the disk gives no more of it


def _header(disk: Disk, folder: Path, name: Name, names: list[Name]) -> Header | None:
    """The header of the segment; when that is damaged, what it must have said as far as older segments know. None when
    there is nothing to put behind it."""
    try:
        handle = disk.open(path_of(folder, name))
    except OSError:
        return None
    try:
        try:
            return read_header(disk, handle)[0]
        except UnknownVersion:
            return None
        except Damaged:
            first = next(_readable(disk, handle, name), None)
    except OSError:
        return None
    finally:
        disk.close(handle)
    if first is None:
        return None
    older, state = _known_before(disk, folder, [n for n in names if n < name])
    blank = Header(first.run, name.mark, name.base, first.total, [], {})
    return msgspec.structs.replace(
        older or blank,
        run=first.run,
        mark=name.mark,
        base=name.base,
        total=first.total,
        origins=list(state.origins.values()),
        counts=state.counts,
        made_at_ms=0,
    )


def _known_before(disk: Disk, folder: Path, older: list[Name]) -> tuple[Header | None, State]:
    """What these segments know: the newest readable header, and positions and counts as it and every frame behind it
    say."""
    newest: Header | None = None
    state = State()
    for name in older:
        try:
            handle = disk.open(path_of(folder, name))
        except OSError:
            continue
        try:
            try:
                newest, _ = read_header(disk, handle)
                state = State(0, 0, {(o.input, o.source): o for o in newest.origins}, dict(newest.counts))
            except Damaged:
                pass
            for frame in _readable(disk, handle, name):
                if not frame.more:
                    state.apply(frame.seq, frame.total + frame.count, frame.meta.origins, frame.meta.counts)
        except OSError:
            continue
        finally:
            disk.close(handle)
    return newest, state


def _renew_cursor(disk: Disk, folder: Path, text: str) -> str:
    recovered = recover(disk, folder)
    # What a start would begin with: the cursor as something else in the folder has it, or the oldest record.
    known = recovered.cursors.get(text.removeprefix(PREFIX))
    cursor = known[0] if known is not None else _oldest(recovered)
    temporary = folder / f"repair-{text}{TEMPORARY}"
    _write_file(disk, temporary, [bytes(SLOT_BYTES), encode_slot(encode_to_fit(cursor), 1)])
    _keep_copy(disk, folder, text)
    # Replaced, not moved first: an output without a cursor may begin at now, and what it has not delivered is lost.
    try:
        disk.rename(temporary, folder / text)
    except IsADirectoryError:
        _set_aside(disk, folder, text)
        disk.rename(temporary, folder / text)
    disk.sync_folder(folder)
    back = counted(cursor.behind(recovered.state.total), "record")
    return f"{plain(text)}: begins again {back} back; what the output had of them comes again, under the same ids"


def _oldest(recovered: Recovered) -> Cursor:
    """A cursor that stands before the oldest record here."""
    state = recovered.state
    if not recovered.segments:
        return Cursor(low=state.seq, low_total=state.total, start_total=state.total)
    oldest = recovered.segments[0]
    total = state.total if oldest.begin_total is None else oldest.begin_total
    return Cursor(low=oldest.name.base - 1, low_total=total, start_total=total)


def _set_aside(disk: Disk, folder: Path, text: str) -> str:
    """Move a file to ``damaged/``, durably; its name there."""
    aside = _aside(disk, folder, text)
    disk.rename(folder / text, aside)
    disk.sync_folder(aside.parent)
    disk.sync_folder(folder)
    return f"{ASIDE}/{aside.name}"


def _keep_copy(disk: Disk, folder: Path, text: str) -> None:
    """Keep what a cursor file holds, as far as it can be read, in ``damaged/``."""
    try:
        handle = disk.open(folder / text)
        try:
            data = disk.read(handle, 2 * SLOT_BYTES, 0)
        finally:
            disk.close(handle)
    except OSError:
        return
    if data:
        aside = _aside(disk, folder, text)
        _write_file(disk, aside, [data])
        disk.sync_folder(aside.parent)


def _aside(disk: Disk, folder: Path, text: str) -> Path:
    """A name in ``damaged/`` that nothing has."""
    aside = folder / ASIDE
    disk.make_folder(aside)
    taken = set(disk.names(aside))
    number = 0
    while (name := f"{text}.{number}" if number else text) in taken:
        number += 1
    return aside / name


def _write_file(disk: Disk, path: Path, buffers: list[bytes]) -> None:
    """A new file, its content durable."""
    handle = disk.create(path)
    try:
        disk.write(handle, buffers, 0)
        disk.sync(handle)
    finally:
        disk.close(handle)
