"""A disk in memory that can lose power: the truth of a file system as far as the queue may rely on it.

* What was written is there for every reader at once, and durable only after ``sync`` of the file. After a power cut
  each write since the last sync is there, or not, or in part (any of its sectors, or torn at any byte), and they may
  have been applied in any order; so may truncations.
* A created, renamed or deleted name is durable only after ``sync_folder``; before, each may or may not have happened.
* After a failed ``sync`` what was written since the last good one may never become durable, whatever a later ``sync``
  says, though readers still see it. Only writing it again helps.

Every call that changes something, or makes it durable, has a number: it can be told to fail at some of them, a write
after any part of it was done, and to lose power at one.
"""

import errno
import random
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

SECTOR = 512


class PowerLost(Exception):
    """The power is gone: this call, and every later one, happened or not."""


class _Change(msgspec.Struct, eq=False):
    """A write of ``data`` at ``offset``, or, without ``data``, a truncation to ``offset``. ``hopeless`` when a sync of
    it failed."""

    offset: int
    data: bytes | None
    hopeless: bool = False

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        elif self.data:
            content.extend(bytes(max(0, self.offset - len(content))))
            content[self.offset : self.offset + len(self.data)] = self.data

    def outside(self, other: "_Change") -> "list[_Change]":
        """What is left of this write where a later, durable change is not."""
        assert self.data is not None
        end = self.offset + len(self.data)
        begin, until = other.offset, end if other.data is None else other.offset + len(other.data)
        parts = [
            _Change(self.offset, self.data[: max(0, begin - self.offset)], True),
            _Change(max(until, self.offset), self.data[max(0, until - self.offset) :], True),
        ]
        return [part for part in parts if part.data]


class _File(msgspec.Struct, eq=False):
    content: bytearray
    durable: bytes = b""
    changes: list[_Change] = []


class _Entry(msgspec.Struct, eq=False):
    """A change of names in one folder: ``name`` stands for ``file`` from now on, or for nothing."""

    name: Path
    file: _File | None


class PowerDisk:
    """See the module and ``agent.queue.disk.Disk``. Safe to use from any thread."""

    def __init__(self) -> None:
        self.calls = 0
        self.made: Counter[str] = Counter()
        """How many calls of each kind there were."""
        self.lose_power_at: int | None = None
        self.failing: Collection[int] = ()
        self.free_bytes = 2**40
        self._files: dict[Path, _File] = {}
        self._durable_files: dict[Path, _File] = {}
        self._entries: dict[Path, list[list[_Entry]]] = {}
        self._folders: set[Path] = set()
        self._handles: dict[int, _File | None] = {}
        self._locked: dict[int, Path] = {}
        self._next_handle = 3
        self._lock = threading.RLock()
        self._random = random.Random(0)

    # Power.

    @property
    def has_power(self) -> bool:
        """Whether the calls made so far all were before the cut."""
        return self.lose_power_at is None or self.calls < self.lose_power_at

    def after_power_cut(self, seed: int) -> "PowerDisk":
        """What a machine finds that starts again. With seed 0 nothing that was not durable is there, with seed 1 all of
        it, else as it comes."""
        rng = random.Random(seed)
        names = dict(self._durable_files)
        for groups in self._entries.values():
            for group in groups:
                if _happened(rng, seed):
                    for entry in group:
                        _rename(names, entry)
        disk = PowerDisk()
        disk._folders = set(self._folders)
        survivors = {id(file): bytearray(_survivor(file, rng, seed)) for file in names.values()}
        for path, file in names.items():
            content = survivors[id(file)]
            disk._files[path] = disk._durable_files[path] = _File(content, bytes(content), [])
        return disk

    def after_kill(self) -> "PowerDisk":
        """What a process finds that starts after this one was killed: everything that was written, durable or not."""
        return self.after_power_cut(1)

    def content(self, path: Path) -> bytearray:
        """A file's content, to be damaged in place."""
        return self._files[path].content

    def durable_content(self, path: Path) -> bytes | None:
        """What a power cut cannot take from the file; None when it may be gone. Only of files that are written in
        place."""
        file = self._durable_files.get(path)
        return None if file is None else file.durable

    def copy(self) -> "PowerDisk":
        """The same files, all of them durable."""
        return self.after_power_cut(1)

    def replace(self, path: Path, content: bytes | None) -> None:
        """Put other content there, durably, or nothing."""
        if content is None:
            del self._files[path], self._durable_files[path]
        else:
            self._files[path] = self._durable_files[path] = _File(bytearray(content), content, [])

    # The calls.

    def make_folder(self, path: Path) -> None:
        """See ``Disk``. Durable at once: the queue makes its folder before anything counts."""
        with self._lock:
            self._folders.add(path)

    def names(self, folder: Path) -> list[str]:
        """See ``Disk``."""
        with self._lock:
            return [path.name for path in (*self._files, *self._folders) if path.parent == folder]

    def create(self, path: Path) -> int:
        """See ``Disk``."""
        with self._lock:
            self._count("create")
            if path in self._files:
                raise FileExistsError(errno.EEXIST, "File exists")
            file = _File(bytearray(), b"", [])
            self._change_names(path.parent, [_Entry(path, file)])
            self._check_power()
            return self._handle(file)

    def open(self, path: Path, *, write: bool = False) -> int:
        """See ``Disk``."""
        with self._lock:
            if path not in self._files:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            return self._handle(self._files[path])

    def close(self, handle: int) -> None:
        """See ``Disk``."""
        with self._lock:
            self._handles.pop(handle, None)
            self._locked.pop(handle, None)

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """See ``Disk``."""
        with self._lock:
            data = b"".join(buffers)
            fails = self._count("write", may_fail=False)
            done = data[: self._random.randint(0, len(data))] if fails else data
            self._change(handle, _Change(offset, done))
            self._check_power()
            if fails:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(data)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """See ``Disk``."""
        with self._lock:
            return bytes(self._file(handle).content[offset : offset + size])

    def size(self, handle: int) -> int:
        """See ``Disk``."""
        with self._lock:
            return len(self._file(handle).content)

    def truncate(self, handle: int, size: int) -> None:
        """See ``Disk``."""
        with self._lock:
            self._count("truncate")
            self._change(handle, _Change(size, None))
            self._check_power()

    def sync(self, handle: int) -> None:
        """See ``Disk``."""
        with self._lock:
            fails = self._count("sync", may_fail=False)
            self._check_power()
            file = self._file(handle)
            if fails:
                for change in file.changes:
                    change.hopeless = True
                raise OSError(errno.EIO, "Input/output error")
            durable = bytearray(file.durable)
            hopeless: list[_Change] = []
            for change in file.changes:
                if change.hopeless and change.data is not None:
                    hopeless.append(change)
                else:
                    change.apply(durable)
                    hopeless = [part for other in hopeless for part in other.outside(change)]
            file.durable, file.changes = bytes(durable), hopeless

    def sync_folder(self, path: Path) -> None:
        """See ``Disk``."""
        with self._lock:
            self._count("sync_folder")
            self._check_power()
            for group in self._entries.pop(path, []):
                for entry in group:
                    _rename(self._durable_files, entry)

    def unlink(self, path: Path) -> None:
        """See ``Disk``."""
        with self._lock:
            self._count("unlink")
            if path not in self._files:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            self._change_names(path.parent, [_Entry(path, None)])
            self._check_power()

    def rename(self, source: Path, target: Path) -> None:
        """See ``Disk``."""
        with self._lock:
            self._count("rename")
            self._change_names(source.parent, [_Entry(source, None), _Entry(target, self._files[source])])
            self._check_power()

    def free(self, folder: Path) -> int:
        """See ``Disk``."""
        return self.free_bytes

    def lock(self, path: Path) -> int:
        """See ``Disk``."""
        with self._lock:
            if path in self._locked.values():
                raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")
            handle = self._handle(None)
            self._locked[handle] = path
            return handle

    # Below the calls.

    def _count(self, kind: str, *, may_fail: bool = True) -> bool:
        """A call begins. Returns whether it is to fail, or does so itself."""
        if not self.has_power:
            raise PowerLost
        self.calls += 1
        self.made[kind] += 1
        fails = self.calls in self.failing
        if fails and may_fail:
            raise OSError(errno.EIO, "Input/output error")
        return fails

    def _check_power(self) -> None:
        if not self.has_power:
            raise PowerLost

    def _handle(self, file: _File | None) -> int:
        self._next_handle += 1
        self._handles[self._next_handle] = file
        return self._next_handle

    def _file(self, handle: int) -> _File:
        file = self._handles[handle]
        assert file is not None
        return file

    def _change(self, handle: int, change: _Change) -> None:
        file = self._file(handle)
        change.apply(file.content)
        file.changes.append(change)

    def _change_names(self, folder: Path, entries: list[_Entry]) -> None:
        for entry in entries:
            _rename(self._files, entry)
        self._entries.setdefault(folder, []).append(entries)


def _rename(names: dict[Path, _File], entry: _Entry) -> None:
    if entry.file is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.file


def _happened(rng: random.Random, seed: int) -> bool:
    return seed == 1 or (seed > 1 and rng.random() < 0.5)


def _survivor(file: _File, rng: random.Random, seed: int) -> bytes:
    """What is left of a file's content."""
    if seed == 1:
        return bytes(file.content)
    content = bytearray(file.durable)
    changes = [change for change in file.changes if _happened(rng, seed)]
    if rng.random() < 0.3:
        rng.shuffle(changes)
    for change in changes:
        for part in _parts(change, rng):
            part.apply(content)
    return bytes(content)


def _parts(change: _Change, rng: random.Random) -> list[_Change]:
    """What reaches the disk of one change: all of it, as much as up to any byte, or any of its sectors."""
    data, how = change.data, rng.random()
    if data is None or how < 0.4:
        return [change]
    if how < 0.7:
        return [_Change(change.offset, data[: rng.randint(0, len(data))])]
    parts, at = [], 0
    while at < len(data):
        end = min(len(data), at + SECTOR - (change.offset + at) % SECTOR)
        if rng.random() < 0.5:
            parts.append(_Change(change.offset + at, data[at:end]))
        at = end
    return parts
