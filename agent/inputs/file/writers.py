"""Who could still write to a file: the processes in ``/proc`` that have it open for writing. Blocking.

``/proc`` (see proc(5)) shows the processes of our own PID namespace, and lets us see the files of those that run as the
same user and group, or of all to root. So a writer that is seen is there; that none is seen proves nothing by itself.

A lease (``F_SETLEASE``) would know across containers, but not without doing something: for as long as it is held, if
only for a moment too long, the model's own ``open`` waits, or fails if it may not wait.
"""

import os
from collections.abc import Collection, Iterator

from agent.inputs.file.rotation import Inode

_MAY_WRITE = 0o200
"""In the mode of the link ``/proc/PID/fd/N``: the descriptor was opened for writing."""


def has_writer(files: Collection[Inode], processes: str = "/proc") -> bool:
    """Whether a process that we can see has one of these files open for writing."""
    return any(found in files for found in _open_for_writing(processes))


def _open_for_writing(processes: str) -> Iterator[Inode]:
    for process in _names(processes):
        if not process.isdecimal():
            continue
        folder = f"{processes}/{process}/fd"
        for descriptor in _names(folder):
            path = f"{folder}/{descriptor}"
            try:
                if os.lstat(path).st_mode & _MAY_WRITE:
                    found = os.stat(path)
                    yield found.st_dev, found.st_ino
            except OSError:
                continue  # closed, or ended, since it was listed


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # ended, or not ours to see
