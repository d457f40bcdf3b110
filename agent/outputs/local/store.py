"""The folder of parts: which one is written, when the next begins, what is removed, what is set aside.

A store is a folder of ``part-00000001.db``, ``part-00000002.db`` …, written in turn; only the newest is written, the
older ones never change. So old records go by removing a file, which takes no time and really gives the room back, and
damage costs one part. A file that cannot be used is renamed ``damaged-….db`` and kept for a person to look at, as
long as there is room.

A store belongs to one thread. Errors of SQLite and of the file system become ``SendError``s here and nowhere else.
"""

import errno
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, NoReturn, Self

import msgspec

from agent.errors import ConfigError, Refused, Retryable
from agent.log import Log
from agent.outputs.local.part import STATE, NotAPart, Part, connect, files_of, remove, size_of
from agent.query.words import fts5_problem

PARTS: Final = 16
"""A store at its limit has about this many parts, so at most a sixteenth of the room or the time goes at once."""

MAX_PART_BYTES: Final = 64 * 1024**2

_NAME: Final = re.compile(r"(part|damaged)-(\d{8,18})\.db")
_BROKEN: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
"""Result codes that time does not heal. ``ERROR`` is among them: our statements are fixed, so they only fail like
that when tables are not as we made them.
"""


class StoreCounts(msgspec.Struct):
    """What a store did since it was opened: records stored, records removed to keep its limits, files set aside as
    damaged.
    """

    stored: int = 0
    removed: int = 0
    set_aside: int = 0


class _Sealed(NamedTuple):
    size: int
    records: int
    stored_ns: int


class Store:
    """The store in ``folder``, open for writing within ``with``.

    Entering takes the folder (``ConfigError`` when that cannot be); everything else is opened when first needed, so
    that a full disk is met while running, where it can be waited for. ``clock`` gives nanoseconds since 1970.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int, max_age_secs: float, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.folder = folder
        self.counts = StoreCounts()
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age_secs * 1e9)
        self._part_bytes = min(MAX_PART_BYTES, max_bytes // PARTS)
        self._clock = clock
        self._part: Part | None = None
        self._sealed: dict[Path, _Sealed] = {}
        self._lock = -1
        self._log = Log("outputs.local")

    def __enter__(self) -> Self:
        problem = folder_problem(self.folder) or fts5_problem()
        if problem:
            raise ConfigError([problem])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigError([f"The store's folder {self.folder} cannot be used: {error.strerror}."]) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise ConfigError([f"Another agent writes to the store in {self.folder}."]) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave()
        except Retryable as trouble:
            self._log.warning(
                "The store could not be synced when it was closed", path=str(self.folder), reason=str(trouble)
            )
        finally:
            os.close(self._lock)

    def cursor(self) -> bytes | None:
        """The cursor stored with the newest records, or None when there are none.

        After damage it is the one of the newest part that can be read, which may be older than what was last stored.
        ``Retryable`` when it cannot be read just now.
        """
        return self._current().cursor

    def append(self, documents: Sequence[bytes], cursor: bytes) -> bool:
        """Store documents and the cursor behind them in one transaction. False when they are there already: the
        cursor says so.

        ``Retryable`` when the disk is full or the file busy; ``Refused`` when a document cannot be stored by any
        means. Nothing is stored then.
        """
        if any(b"\n" in document for document in documents):
            raise Refused("a document holds a line end")
        part = self._current()
        if cursor and cursor == part.cursor:
            return False
        now = self._clock()
        if not part.path.exists():
            self._log.error(
                "The store was removed while it was written; a new one is begun",
                path=str(part.path),
                records=part.records,
            )
            part = self._next_part()
        elif part.records and (part.size() >= self._part_bytes or now - part.begun_ns >= self._max_age_ns // PARTS):
            part = self._next_part()
        try:
            part.append(documents, cursor or part.cursor, now)
        except (sqlite3.Error, OSError) as error:
            self._trouble(part, error)
        self.counts.stored += len(documents)
        self.retain()
        return True

    def sync(self) -> None:
        """Make everything stored survive a power cut. ``Retryable`` when the disk does not take it."""
        if self._part is not None:
            try:
                self._part.sync()
            except OSError as error:
                raise Retryable(f"the store cannot be synced: {error.strerror}") from error

    def retain(self) -> None:
        """Remove what is too old or too much. To be called now and then: records grow old while none arrive."""
        try:
            oldest_kept = self._clock() - self._max_age_ns
            if self._part is not None and self._part.records and self._part.stored_ns < oldest_kept:
                self._next_part()
            if self._part is not None:
                self._remove_old(self._part, oldest_kept)
        except (OSError, Retryable) as error:
            self._log.warning(
                "Old records could not be removed from the store", path=str(self.folder), reason=str(error)
            )

    def _remove_old(self, current: Part, oldest_kept_ns: int) -> None:
        files = [path for _, path in self._files() if path != current.path]
        self._sealed = {path: self._sealed.get(path) or _look(path) for path in files}
        room = current.size() + sum(sealed.size for sealed in self._sealed.values())
        for path in sorted(files, key=lambda path: path.name):  # "damaged" goes before "part"
            sealed = self._sealed[path]
            full = room > self._max_bytes
            if full or sealed.stored_ns < oldest_kept_ns:
                remove(path)
                room -= sealed.size
                self.counts.removed += sealed.records
                why = "max_bytes" if full else "max_age"
                self._log.info(
                    "Old records were removed from the store", path=str(path), records=sealed.records, why=why
                )

    def _current(self) -> Part:
        """The part that is written, opened or made if need be."""
        while self._part is None:
            parts = [path for kind, path in self._files() if kind == "part"]
            self._tidy(parts)
            if not parts:
                return self._make(None)
            try:
                self._part = Part.open(parts[-1])
            except NotAPart as error:
                self._set_aside(parts[-1], str(error))
            except (sqlite3.Error, OSError) as error:
                if _code(error) not in _BROKEN:
                    raise Retryable(f"the store cannot be opened: {error}") from error
                self._set_aside(parts[-1], str(error))
        return self._part

    def _make(self, cursor: bytes | None) -> Part:
        number = max((int(path.stem.partition("-")[2]) for _, path in self._files()), default=0) + 1
        path = self.folder / f"part-{number:08}.db"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            Part.create(path, cursor, self._clock())
            self._part = Part.open(path)
        except (sqlite3.Error, OSError) as error:
            raise Retryable(f"a new part of the store cannot be made: {error}") from error
        return self._part

    def _next_part(self) -> Part:
        """Seal the part that is written and begin the next, which goes on behind its cursor."""
        cursor = self._current().cursor
        self._leave()
        return self._make(cursor)

    def _leave(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            try:
                part.seal()
            except (sqlite3.Error, OSError) as error:
                raise Retryable(f"the store cannot be synced: {error}") from error
            finally:
                part.close()

    def _trouble(self, part: Part, error: sqlite3.Error | OSError) -> NoReturn:
        """Set a broken part aside and begin another; leave any other trouble to time. The batch can be sent again,
        unless it is refused.
        """
        code = _code(error)
        if code == sqlite3.SQLITE_TOOBIG:
            raise Refused(f"the store cannot hold it: {error}") from error
        part.close()
        self._part = None
        if code in _BROKEN:
            self._set_aside(part.path, str(error))
            self._make(part.cursor)
        raise Retryable(f"the store cannot be written: {error}") from error

    def _set_aside(self, path: Path, reason: str) -> None:
        target = path.with_name(path.name.replace("part-", "damaged-", 1))
        try:
            for file, name in zip(files_of(path), files_of(target), strict=True):
                if file.exists():
                    os.rename(file, name)
        except OSError as error:
            raise Retryable(f"a damaged part of the store cannot be set aside: {error.strerror}") from error
        self.counts.set_aside += 1
        self._log.error("A part of the store cannot be used and was set aside", path=str(target), reason=reason)

    def _files(self) -> list[tuple[str, Path]]:
        """Kind and path of the parts and of what was set aside, in the order they were begun."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Retryable(f"the store's folder cannot be read: {error.strerror}") from error
        found = [(match[1], self.folder / name) for name in names if (match := _NAME.fullmatch(name))]
        return sorted(found, key=lambda file: int(file[1].stem.partition("-")[2]))

    def _tidy(self, parts: list[Path]) -> None:
        """Remove what a crash left of parts that are gone or were never finished."""
        expected = {file for path in parts for file in files_of(path)}
        for path in self.folder.glob("part-*"):
            if path not in expected:
                path.unlink(missing_ok=True)


def folder_problem(folder: Path) -> str | None:
    """A sentence when the folder, or the one it would be made in, cannot be written, or None. Changes nothing."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        return f"The store {folder} cannot be a folder: {there} is a file."
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return f"The store's folder {folder} cannot be written: {os.strerror(errno.EACCES)}."
    return None


def _code(error: sqlite3.Error | OSError) -> int:
    """SQLite's primary result code. A mistake in how it is called has none and is not ours to handle."""
    if isinstance(error, OSError):
        return sqlite3.SQLITE_IOERR
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        raise error
    return int(code) & 0xFF


def _look(path: Path) -> "_Sealed":
    """A part that is not written any more; of a damaged one only its size and the time of the file."""
    records, stored_ns = 0, path.stat().st_mtime_ns
    if path.name.startswith("part-"):
        with suppress(sqlite3.Error, NotAPart, TypeError), closing(connect(path, "ro", timeout_secs=0)) as db:
            _, records, _, stored_ns = db.execute(STATE).fetchone()
    return _Sealed(size_of(path), records, stored_ns)
