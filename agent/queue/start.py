"""What a start does before anything runs: read the folder, and put out of the way what cannot be used.

A start never fails for what lies in the folder: whatever cannot be moved or copied stays, is said, and is met again
when it is read. Blocking.
"""

from pathlib import Path

from agent.log import Log
from agent.queue.cursor import PREFIX, SLOT_BYTES
from agent.queue.damage import Damage, damage_at_start, mend_names, move_aside, set_aside
from agent.queue.disk import Disk
from agent.queue.recovery import Found, Recovered, Unusable, recover
from agent.queue.segment import path_of

_log = Log("queue")


def recover_at_start(disk: Disk, folder: Path) -> Recovered:
    """What the folder holds. Raises ``OSError`` only when the folder cannot be listed."""
    try:
        for was, now in mend_names(disk, folder):
            _log.warning("A segment's name was damaged and is mended", was=was, now=now)
    except OSError as error:
        _log.error("A segment's name is damaged and cannot be mended", path=str(folder), error=error)
    recovered = recover(disk, folder)
    for unusable in recovered.unusable:
        _move_aside(disk, folder, unusable)
    for output in recovered.unreadable_cursors:
        _set_cursor_aside(disk, folder, output)
    for damage in damage_at_start(recovered):
        _log.error(
            "Part of the queue is damaged and was passed over",
            path=damage.file, offset=damage.offset, bytes=damage.length, reason=damage.reason,
            copy=set_aside(disk, folder, damage),
        )  # fmt: skip
    if recovered.torn and not recovered.missing:
        newest = recovered.segments[-1]
        torn = Damage(newest.name.text, newest.size - recovered.torn, recovered.torn, "no whole frame")
        _log.warning(
            "The queue's end is torn: inputs go on from the positions before it",
            path=torn.file, offset=torn.offset, bytes=torn.length, copy=set_aside(disk, folder, torn),
        )  # fmt: skip
    for found in recovered.segments:
        if found.end < found.size:
            _cut(disk, folder, found)
    if recovered.missing or recovered.unknown:
        _log.error(
            "Counts and positions of records are lost; the ledger has them under the input `?`",
            path=str(folder),
            records=recovered.missing + recovered.unknown,
        )
    return recovered


def _cut(disk: Disk, folder: Path, found: Found) -> None:
    """Cut off what never happened, for good: from now on numbers and cursors go past it."""
    try:
        handle = disk.open(path_of(folder, found.name), write=True)
        try:
            disk.truncate(handle, found.end)
            disk.sync(handle)
        finally:
            disk.close(handle)
    except OSError as error:
        _log.error("The queue's torn end cannot be cut off", path=found.name.text, error=error)
    else:
        found.size = found.end


def _move_aside(disk: Disk, folder: Path, unusable: Unusable) -> None:
    try:
        place = move_aside(disk, folder, unusable.name)
    except OSError as error:
        place = f"not moved: {error.strerror or error}"
    if unusable.newer:
        _log.error(
            "A segment of a newer modeltail is moved out of the way; its records are not delivered",
            path=unusable.name, reason=unusable.reason, now=place,
        )  # fmt: skip
    else:
        _log.error(
            "A file of the queue cannot be read at all and is moved out of the way",
            path=unusable.name, reason=unusable.reason, now=place,
        )  # fmt: skip


def _set_cursor_aside(disk: Disk, folder: Path, output: str) -> None:
    """Say that a cursor is lost, and keep what is there. Zeros are what a crash leaves of a new one."""
    name = f"{PREFIX}{output}"
    copy = None
    try:
        handle = disk.open(folder / name)
        try:
            content = disk.read(handle, 2 * SLOT_BYTES, 0)
        finally:
            disk.close(handle)
        if any(content):
            copy = set_aside(disk, folder, Damage(name, 0, len(content), "no readable slot"))
    except OSError:
        pass  # it was moved aside whole
    _log.warning(
        "A cursor is not readable: its output goes on from an older position and repeats what came since",
        output=output,
        copy=copy,
    )
