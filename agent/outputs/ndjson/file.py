"""A file that only whole lines are added to."""

import os
from pathlib import Path
from typing import Final

_CHUNK: Final = 64 * 1024


class LineFile:
    """The file at ``path``, opened for adding; ``OSError`` passes through, and leaves no part of a line behind if
    that can be helped.

    A last line without its end, which a crash can leave, is cut off when the file is opened: its record is sent
    again. When the file is full it is renamed ``path.1`` (and that ``path.2`` …, up to ``keep``) and a new one begun.
    When someone else renames or removes it, a new one is begun too.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor = -1
        self._size = 0

    def append(self, lines: bytes) -> None:
        """Add lines, each ended by a newline."""
        if self._descriptor >= 0 and not self._is_ours():
            self.close()
        if self._descriptor < 0:
            self._open()
        if self._size and self._size + len(lines) > self._max_bytes:
            self._rotate()
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(lines)

    def sync(self) -> None:
        """Make what was added survive a power cut."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it. ``append`` opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._size = whole_lines(self._descriptor)
            os.ftruncate(self._descriptor, self._size)
            self._sync_folder()
        except BaseException:
            self.close()
            raise

    def _is_ours(self) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _rotate(self) -> None:
        self.sync()
        self.close()
        full = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._keep + 1))]
        for older, newer in reversed(list(zip(full[1:], full[:-1], strict=True))):
            if newer.exists():
                os.replace(newer, older)
        if not self._keep:
            self.path.unlink(missing_ok=True)
        self._open()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def whole_lines(descriptor: int) -> int:
    """Bytes up to the end of the last line that has one."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(end - _CHUNK, 0)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
