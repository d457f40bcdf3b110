"""Letting go of an output that is not configured any more, so that it holds nothing back."""

from pathlib import Path

from agent.queue.cursor import PREFIX
from agent.queue.disk import Disk


def forget_output(disk: Disk, folder: Path, output: str) -> bool:
    """Delete the output's cursor, durably; False when there is none. A crash leaves it as it was, or gone. The caller
    holds the queue's lock. Raises ``OSError`` when the disk does not let us."""
    if f"{PREFIX}{output}" not in disk.names(folder):
        return False
    disk.unlink(folder / f"{PREFIX}{output}")
    disk.sync_folder(folder)
    return True
