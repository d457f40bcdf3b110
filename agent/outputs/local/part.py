"""One file of the store: an SQLite database in WAL mode.

The tables (``SCHEMA``)::

    state   one row: the cursor of the delivery loop, how many records the part holds, when it was begun, when the
            last was stored
    blocks  up to 256 records each, in the order they came: their documents as zlib-compressed lines, and what of them
            lets a search skip the block (first and last time, levels)
    words   the full-text index. The rowid of a record is block id * 256 + its index in the block; the text itself is
            not kept twice

What holds:

1. Records and the cursor behind them are written in one transaction: a part never knows of one without the other.
2. A part is made under another name and renamed when it is whole and synced, so a part that can be seen has its tables.
3. After a power cut a part holds every batch up to some moment not before the last ``sync``, and the cursor of that
   moment.
4. Documents come back as the bytes they were. zlib's own checksum is checked whenever a block is read.
5. Block ids begin at 1 and have no gaps.
"""

import os
import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Self, cast

from isal import isal_zlib

from agent.query.extract import COLUMNS, Text, extract

APPLICATION_ID: Final = 0x6D6F7461
"""Marks the file as ours (SQLite's ``application_id``): ``mota``."""

VERSION: Final = 1
"""Of the tables (SQLite's ``user_version``). A part of another version is set aside."""

BLOCK_BITS: Final = 8
MAX_BLOCK_RECORDS: Final = 1 << BLOCK_BITS
MAX_BLOCK_BYTES: Final = 256 * 1024
"""A block ends when it holds this much. Larger ones would hardly compress better, and a search inflates whole ones."""

CACHE_KIB: Final = 4096
CHECKPOINT_PAGES: Final = 256
"""Pages of 4 KiB in the write-ahead log at which SQLite copies them into the part."""

SCHEMA: Final = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {VERSION};
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1), cursor BLOB, records INTEGER NOT NULL,
        begun_ns INTEGER NOT NULL, stored_ns INTEGER NOT NULL
    );
    CREATE TABLE blocks (
        id INTEGER PRIMARY KEY, count INTEGER NOT NULL, first_us INTEGER, last_us INTEGER,
        levels INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE VIRTUAL TABLE words USING fts5({", ".join(COLUMNS)}, content = '', columnsize = 0);
"""
_INSERT_WORDS: Final = f"INSERT INTO words (rowid, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"  # noqa: S608 - constants only


_NO_TEXT: Final[Text] = (None, None, None, None)
_NOT_DEFLATED = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance
STATE: Final = "SELECT cursor, records, begun_ns, stored_ns FROM state"


class NotAPart(Exception):
    """The file is not a part this version can use. The text says why; nothing was changed."""


class Part:
    """A part open for writing, by one thread. Errors of SQLite pass through; the transaction they broke is rolled
    back.

    ``cursor`` and ``records`` are what the last transaction left; ``stored_ns`` is when that was and ``begun_ns``
    when the part was made, by the wall clock.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self.cursor: bytes | None
        self.records: int
        self.begun_ns: int
        self.stored_ns: int
        self.cursor, self.records, self.begun_ns, self.stored_ns = db.execute(STATE).fetchone()
        self._last_block: int = db.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]

    @staticmethod
    def create(path: Path, cursor: bytes | None, now_ns: int) -> None:
        """Make an empty part that goes on behind ``cursor``. Whole and durable when this returns."""
        unfinished = path.with_suffix(".new")
        remove(unfinished)
        db = sqlite3.connect(unfinished, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = FULL")
            db.executescript(f"BEGIN; {SCHEMA} COMMIT")
            db.execute("INSERT INTO state VALUES (1, ?, 0, ?, ?)", (cursor, now_ns, now_ns))
        finally:
            db.close()
        os.rename(unfinished, path)
        sync_folder(path.parent)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open it for writing. Raises ``NotAPart`` or what SQLite raises."""
        if path.stat().st_size == 0:
            raise NotAPart("it is empty")
        db = connect(path, "rw", timeout_secs=1.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {CHECKPOINT_PAGES * 4096}")
            db.execute("SELECT rowid FROM words WHERE words MATCH 'modeltail' LIMIT 1").fetchone()
            return cls(path, db)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        """Close it as it is."""
        self._db.close()

    def append(self, documents: Sequence[bytes], cursor: bytes | None, now_ns: int) -> None:
        """Store documents (JSON text without a line end) and the cursor behind them, in one transaction."""
        blocks, words, last = self._rows(documents)
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", blocks)
            db.executemany(_INSERT_WORDS, words)
            db.execute(
                "UPDATE state SET cursor = ?, records = records + ?, stored_ns = ?", (cursor, len(documents), now_ns)
            )
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self.cursor, self.stored_ns, self._last_block = cursor, now_ns, last
        self.records += len(documents)

    def _rows(self, documents: Sequence[bytes]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]], int]:
        blocks: list[tuple[object, ...]] = []
        words: list[tuple[object, ...]] = []
        block, start = self._last_block, 0
        while start < len(documents):
            block += 1
            row, size, levels, times = block << BLOCK_BITS, 0, 0, []
            for document in documents[start : start + MAX_BLOCK_RECORDS]:
                time, level, text = extract(document)
                levels |= level
                if time is not None:
                    times.append(time)
                if text != _NO_TEXT:
                    words.append((row, *text))
                row += 1
                size += len(document)
                if size >= MAX_BLOCK_BYTES:
                    break
            count = row - (block << BLOCK_BITS)
            body = pack(documents[start : start + count])
            blocks.append((block, count, min(times, default=None), max(times, default=None), levels, body))
            start += count
        return blocks, words, block

    def sync(self) -> None:
        """Make what was appended survive a power cut.

        In WAL mode every commit since the last checkpoint is in the log beside the part, and what is not in the log
        any more was synced by the checkpoint. SQLite keeps no locks on the log, so a second descriptor may be opened
        and closed.
        """
        try:
            log = os.open(f"{self.path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(log)
        finally:
            os.close(log)
        sync_folder(self.path.parent)

    def seal(self) -> None:
        """Make it durable, and a single file that needs no log beside it unless someone is reading it just now."""
        self.sync()
        try:
            self._db.execute("PRAGMA busy_timeout = 0")
            self._db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            return

    def size(self) -> int:
        """Bytes on disk, the log beside it included."""
        return size_of(self.path)


def connect(path: Path, mode: Literal["rw", "ro"], timeout_secs: float) -> sqlite3.Connection:
    """A connection to a part. Raises ``NotAPart`` when it is another application's or another version's, or what
    SQLite raises.
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=timeout_secs
    )
    try:
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION_ID:
            raise NotAPart("another application made it")
        if version != VERSION:
            raise NotAPart(f"its tables have version {version}, this modeltail knows version {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def pack(documents: Sequence[bytes]) -> bytes:
    """A block's body."""
    return isal_zlib.compress(b"\n".join(documents), 1)


def unpack(body: bytes) -> bytes | None:
    """The documents of a block, a newline between each two; None when they are damaged."""
    try:
        return isal_zlib.decompress(body)
    except (_NOT_DEFLATED, zlib.error):
        return None


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that belong to a part: the database first, then its log and what goes with that."""
    return (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")))


def size_of(path: Path) -> int:
    """Bytes of a part's files together; none of them has to be there."""
    size = 0
    for file in files_of(path)[:2]:
        try:
            size += file.stat().st_size
        except FileNotFoundError:
            continue
    return size


def remove(path: Path) -> None:
    """Remove a part's files. Who is reading it keeps what is open."""
    for file in files_of(path):
        file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
