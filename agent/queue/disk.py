"""The file system as the queue sees it: the few calls it makes, and nothing else.

Everything the queue does to a disk goes through a ``Disk``, so that tests can fail, tear or reorder any of it. All
calls block; the queue makes them on threads of its own. Failures are ``OSError``.
"""

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

_MAX_BUFFERS = 1024  # IOV_MAX on Linux


class Disk(Protocol):
    """The calls, with the durability each has. A file handle is a plain descriptor."""

    def make_folder(self, path: Path) -> None:
        """Create the folder and its parents if they are missing."""
        ...

    def names(self, folder: Path) -> list[str]:
        """The names in the folder, in no order."""
        ...

    def create(self, path: Path) -> int:
        """Create a new file for reading and writing; fails when it exists. Durable only after ``sync_folder``."""
        ...

    def open(self, path: Path, *, write: bool = False) -> int:
        """Open an existing file."""
        ...

    def close(self, handle: int) -> None:
        """Close; says nothing about durability."""
        ...

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write all buffers one behind the other at ``offset``; returns the bytes written. A failure may leave some of
        them written."""
        ...

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer only at the end of the file."""
        ...

    def size(self, handle: int) -> int:
        """Bytes in the file."""
        ...

    def truncate(self, handle: int, size: int) -> None:
        """Cut or extend the file."""
        ...

    def sync(self, handle: int) -> None:
        """Return once the file's content is durable."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return once the folder's entries are durable."""
        ...

    def unlink(self, path: Path) -> None:
        """Delete the file."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename, replacing the target."""
        ...

    def free(self, folder: Path) -> int:
        """Bytes an ordinary user may still write on this disk."""
        ...

    def lock(self, path: Path) -> int:
        """Take the lock file for this process until the handle is closed. Raises ``BlockingIOError`` when another holds
        it."""
        ...


class RealDisk:
    """The operating system's."""

    def make_folder(self, path: Path) -> None:
        """See ``Disk``."""
        path.mkdir(parents=True, exist_ok=True)

    def names(self, folder: Path) -> list[str]:
        """See ``Disk``."""
        return os.listdir(folder)

    def create(self, path: Path) -> int:
        """See ``Disk``."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path, *, write: bool = False) -> int:
        """See ``Disk``."""
        # Non-blocking: a pipe somebody put here must not hold us up; a file does not care.
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        """See ``Disk``."""
        os.close(handle)

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """See ``Disk``."""
        rest = [memoryview(buffer) for buffer in buffers if buffer]
        start = offset
        while rest:
            n = os.pwritev(handle, rest[:_MAX_BUFFERS], offset)
            if n == 0:
                raise OSError(errno.EIO, "the disk took no bytes")
            offset += n
            while rest and n >= len(rest[0]):
                n -= len(rest.pop(0))
            if rest and n:
                rest[0] = rest[0][n:]
        return offset - start

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """See ``Disk``."""
        data = os.pread(handle, size, offset)
        while data and len(data) < size:
            more = os.pread(handle, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def size(self, handle: int) -> int:
        """See ``Disk``."""
        return os.fstat(handle).st_size

    def truncate(self, handle: int, size: int) -> None:
        """See ``Disk``."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """See ``Disk``."""
        os.fdatasync(handle)

    def sync_folder(self, path: Path) -> None:
        """See ``Disk``."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, path: Path) -> None:
        """See ``Disk``."""
        path.unlink()

    def rename(self, source: Path, target: Path) -> None:
        """See ``Disk``."""
        source.rename(target)

    def free(self, folder: Path) -> int:
        """See ``Disk``."""
        stat = os.statvfs(folder)
        return stat.f_bavail * stat.f_frsize

    def lock(self, path: Path) -> int:
        """See ``Disk``."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return handle
