"""Who uses a queue's folder: asked, and claimed for a command that changes it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from agent.errors import QueueError
from agent.queue.disk import RealDisk
from agent.queue.queue import LOCK


def in_use(folder: Path) -> bool | None:
    """Whether a process holds the queue's lock now; None when we may not look.

    There is no way to ask but to take it, shared and for a moment.
    """
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the queue's lock, and work as the owner of the folder: what root makes there the agent could not open.

    Raises ``QueueError`` while an agent runs on it.
    """
    owner = folder.stat()
    user, group = os.geteuid(), os.getegid()
    becomes_owner = user == 0 and owner.st_uid != 0
    if becomes_owner:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    try:
        disk = RealDisk()
        try:
            lock = disk.lock(folder / LOCK)
        except BlockingIOError:
            raise QueueError(f"an agent is using the queue in {folder}; stop it first") from None
        try:
            yield
        finally:
            disk.close(lock)
    finally:
        if becomes_owner:
            os.seteuid(user)
            os.setegid(group)
