"""Letting go of an output that is not configured any more, so that it holds nothing back."""

from pathlib import Path

from agent.queue.cursor import PREFIX
from agent.queue.disk import Disk
from agent.queue.recovery import FORGOTTEN


def forget_output(disk: Disk, folder: Path, output: str) -> bool:
    """Put away the output's cursor, durably, so that what segments say of it is forgotten too; False when there is
    none. A crash leaves it as it was, or forgotten. The caller holds the queue's lock. Raises ``OSError`` when the disk
    does not let us."""
    if f"{PREFIX}{output}" not in disk.names(folder):
        return False
    disk.rename(folder / f"{PREFIX}{output}", folder / f"{FORGOTTEN}{output}")
    disk.sync_folder(folder)
    return True
