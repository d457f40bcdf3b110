"""A look at a queue folder for people, whether an agent is using it or not. Writes nothing."""

from pathlib import Path

from agent.queue.cursor import PREFIX
from agent.queue.disk import Disk, RealDisk
from agent.queue.queue import LOCK
from agent.queue.recovery import FORGOTTEN, recover


def summary(folder: Path, disk: Disk | None = None) -> str:
    """Segments, positions and cursors. Raises ``OSError`` when there is no such folder."""
    recovered = recover(disk or RealDisk(), folder)
    state = recovered.state
    size = sum(found.size for found in recovered.segments)
    lines = [
        f"Queue in {folder}: {len(recovered.segments)} segments, {size:,} bytes, {state.total:,} records in its life."
    ]
    for found in recovered.segments:
        note = f"  DAMAGED HEADER: {found.damage}" if found.damage else ""
        lines.append(f"  {found.name.text}  {found.size:>14,} bytes{note}")
    lines.append(f"{len(state.origins)} sources whose position is known.")
    for output, (cursor, _) in sorted(recovered.cursors.items()):
        lines.append(
            f"  output {output}: {cursor.behind(state.total):,} records queued, through with {cursor.passed:,}."
        )
    lines += [f"  output {output}: CURSOR NOT READABLE" for output in recovered.unreadable_cursors]
    return "\n".join(lines)


class InUse(Exception):
    """An agent holds the queue; what is asked must wait until it is stopped."""


def forget_output(folder: Path, output: str, disk: Disk | None = None) -> bool:
    """Put away the cursor of an output that is not configured any more, so that it holds nothing back. False when there
    is none.

    Raises ``InUse`` while an agent runs on the folder, ``OSError`` when the disk does not let us.
    """
    disk = disk or RealDisk()
    try:
        lock = disk.lock(folder / LOCK)
    except BlockingIOError:
        raise InUse(f"an agent is using the queue in {folder}; stop it first") from None
    try:
        if f"{PREFIX}{output}" not in disk.names(folder):
            return False
        # What segments say of it is forgotten with it.
        disk.rename(folder / f"{PREFIX}{output}", folder / f"{FORGOTTEN}{output}")
        disk.sync_folder(folder)
        return True
    finally:
        disk.close(lock)
