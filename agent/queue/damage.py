"""What damage leaves behind: bytes set aside for a person to look at, files that cannot be used, names mended.

The folder ``damaged`` inside the queue's holds copies named ``<file>-<offset in hexadecimal digits>``, at most
``MAX_KEPT_BYTES`` of them in all, and, whole and beside that bound, segments of a newer version and things that are no
readable file: they are moved, nothing of them is deleted. Nobody reads the folder, and whoever is done with it may
delete it.

Setting aside is a courtesy: a disk that does not let us is said so, and nothing else changes. Blocking.
"""

from pathlib import Path
from typing import Final

import msgspec

from agent.queue import cursor as cursors
from agent.queue.disk import Disk
from agent.queue.frame import Damaged
from agent.queue.recovery import FORGOTTEN, Recovered
from agent.queue.segment import MAGIC, Name, path_of, read_header

FOLDER: Final = "damaged"
MAX_KEPT_BYTES: Final = 64 * 1024**2
_COPY_BYTES: Final = 1024**2


class Damage(msgspec.Struct, frozen=True):
    """``length`` bytes of a file, from ``offset`` on, that cannot be read."""

    file: str
    offset: int
    length: int
    reason: str


def set_aside(disk: Disk, folder: Path, damage: Damage) -> str:
    """Copy the bytes to where they lie safe. Returns the copy's place for the log, or why there is none. A copy that is
    there already is not made again."""
    into = folder / FOLDER
    copy = into / f"{damage.file}-{damage.offset:x}"
    try:
        disk.make_folder(into)
        sizes = _sizes(disk, into)
        if sizes.get(copy.name) == damage.length:
            return str(copy)
        if sum(sizes.values()) + damage.length > MAX_KEPT_BYTES:
            return f"not kept: {into} holds {sum(sizes.values())} bytes already"
        source = disk.open(folder / damage.file)
        try:
            _copy(disk, source, damage, copy, again=copy.name in sizes)
        finally:
            disk.close(source)
        disk.sync_folder(into)
        disk.sync_folder(folder)
    except OSError as error:
        return f"not kept: {error.strerror or error}"
    return str(copy)


def move_aside(disk: Disk, folder: Path, name: str) -> str:
    """Move a whole file, or whatever lies there, out of the queue's way. Returns its new place. Raises ``OSError``: it
    lies where it lay."""
    into = folder / FOLDER
    disk.make_folder(into)
    taken = set(disk.names(into))
    number = 0
    target = name
    while target in taken:
        number += 1
        target = f"{name}.{number}"
    disk.rename(folder / name, into / target)
    disk.sync_folder(into)
    disk.sync_folder(folder)
    return str(into / target)


def damage_at_start(recovered: Recovered) -> list[Damage]:
    """What start-up sees of damage: headers, and the end of the newest segment when a cursor says that more was there.

    Otherwise bytes at the end that are no whole group are what a crash leaves of an append nobody was told of: it
    never happened, and is no damage. A last frame damaged later looks the same."""
    found = []
    for segment in recovered.segments:
        if segment.damage and segment.first < segment.size:
            found.append(Damage(segment.name.text, 0, segment.first, segment.damage))
    if recovered.missing and recovered.torn:
        newest = recovered.segments[-1]
        found.append(
            Damage(newest.name.text, newest.size - recovered.torn, recovered.torn, "a cursor has seen frames behind")
        )
    return found


def mend_names(disk: Disk, folder: Path) -> list[tuple[str, str]]:
    """Give segments whose name is damaged the one their header says. Returns old and new names. Raises ``OSError``."""
    names = set(disk.names(folder))
    mended = []
    for text in sorted(names):
        if text.startswith((cursors.PREFIX, FORGOTTEN)):
            continue
        right = _right_name(disk, folder, text, names)
        if right is not None:
            disk.rename(folder / text, path_of(folder, right))
            names.add(right.text)
            mended.append((text, right.text))
    if mended:
        disk.sync_folder(folder)
    return mended


def _right_name(disk: Disk, folder: Path, text: str, names: set[str]) -> Name | None:
    """What the file should be called, or None when it is called so, or is no segment."""
    name = Name.parse(text)
    try:
        handle = disk.open(folder / text)
    except OSError:
        return None
    try:
        if disk.read(handle, len(MAGIC), 0) != MAGIC:
            return None
        header, _ = read_header(disk, handle)
    except (Damaged, OSError):
        return None
    finally:
        disk.close(handle)
    if name is not None and (name.base, name.mark) == (header.base, header.mark):
        return None
    known = [other for other in map(Name.parse, names) if other is not None and other.base == header.base]
    return Name(header.base, max((other.again + 1 for other in known), default=0), header.mark)


def _sizes(disk: Disk, folder: Path) -> dict[str, int]:
    """The bytes of each copy. What was moved here whole has a segment's own name and does not count."""
    sizes = {}
    for name in disk.names(folder):
        if "-" in name and Name.parse(name) is None:
            handle = disk.open(folder / name)
            try:
                sizes[name] = disk.size(handle)
            finally:
                disk.close(handle)
    return sizes


def _copy(disk: Disk, source: int, damage: Damage, copy: Path, *, again: bool) -> None:
    target = disk.open(copy, write=True) if again else disk.create(copy)
    try:
        for at in range(0, damage.length, _COPY_BYTES):
            data = disk.read(source, min(_COPY_BYTES, damage.length - at), damage.offset + at)
            disk.write(target, [data], at)
        disk.truncate(target, damage.length)
        disk.sync(target)
    finally:
        disk.close(target)
