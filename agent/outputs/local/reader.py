"""Reading the store while an agent writes it: every part is opened read-only, newest or oldest first, and skipped
when it is gone or broken.

A position is (number of the part, block in it); positions grow in the order records were stored.
"""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from agent.outputs.local.part import BLOCK_BITS, MAX_BLOCK_RECORDS, NotAPart, connect, unpack
from agent.query.extract import extract
from agent.query.language import Query
from agent.query.match import matches, may_match

Position = tuple[int, int]

START: Final[Position] = (0, 0)
_BUSY_SECS: Final = 5.0
_LAST_BLOCK: Final = 1 << 54
_MAY_MATCH: Final = """
    WHERE id > :low AND id <= :high AND levels & :levels
    AND (:since IS NULL OR last_us >= :since) AND (:until IS NULL OR first_us <= :until)
"""
_BLOCKS: Final = {
    newest_first: f"SELECT id, count, body FROM blocks {_MAY_MATCH} ORDER BY id {order}"  # noqa: S608 - constants only
    for newest_first, order in ((False, "ASC"), (True, "DESC"))
}
_ROWS: Final = "SELECT rowid FROM words WHERE words MATCH ? AND rowid >= ? AND rowid < ?"


class Span(NamedTuple):
    """Which records are asked for: stored behind ``after`` up to ``upto``, with a time (µs since 1970) in ``since`` …
    ``until``, both included.
    """

    after: Position
    upto: Position
    since_us: int | None = None
    until_us: int | None = None


class Found(NamedTuple):
    """A record that was found: its document as it was stored, and its time in µs since 1970 (0 when it has none)."""

    document: bytes
    time_us: int


def part_number(path: Path) -> int:
    """The number in a part's file name."""
    return int(path.stem.partition("-")[2])


def parts(folder: Path) -> list[Path]:
    """The parts of a store in the order they were begun. Empty when there is no such folder."""
    return sorted(
        (path for path in folder.glob("part-*.db") if path.stem.partition("-")[2].isdecimal()), key=part_number
    )


def newest(folder: Path) -> Position:
    """The position of the newest record."""
    for path in reversed(parts(folder)):
        with suppress(sqlite3.Error, NotAPart), closing(connect(path, "ro", _BUSY_SECS)) as db:
            return part_number(path), db.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]
    return START


def find(
    folder: Path, query: Query, span: Span, *, newest_first: bool, skipped: Callable[[Path, str], None]
) -> Generator[Found, None, None]:
    """The records that match, in the order they were stored or backwards. ``skipped`` is told what could not be read,
    and why.
    """
    for path in reversed(parts(folder)) if newest_first else parts(folder):
        number = part_number(path)
        if not span.after[0] <= number <= span.upto[0]:
            continue
        low = span.after[1] if number == span.after[0] else 0
        high = span.upto[1] if number == span.upto[0] else _LAST_BLOCK
        try:
            with closing(connect(path, "ro", _BUSY_SECS)) as db:
                for block, body, rows in _candidates(db, query, span, low, high, newest_first):
                    documents = unpack(body)
                    if documents is None:
                        skipped(path, f"block {block} is damaged")
                        continue
                    yield from _in_block(documents, query, span, rows, newest_first)
        except NotAPart as error:
            skipped(path, str(error))
        except sqlite3.Error as error:
            if path.exists():  # otherwise it was removed just now, to keep the store's limits
                skipped(path, str(error))


def _candidates(
    db: sqlite3.Connection, query: Query, span: Span, low: int, high: int, newest_first: bool
) -> Iterator[tuple[int, bytes, Iterable[int] | None]]:
    """Blocks behind ``low`` up to ``high`` that may hold a match: id, body, and the indexes of the records in
    question (None: all of them).
    """
    asked = {"low": low, "high": high, "levels": query.levels, "since": span.since_us, "until": span.until_us}
    if query.wanted is None:
        for block, count, body in db.execute(_BLOCKS[newest_first], asked):
            yield block, body, None if query.unwanted is None else _without(db, query.unwanted, block, count)
        return
    order = " ORDER BY rowid DESC" if newest_first else " ORDER BY rowid ASC"
    found = db.execute(_ROWS + order, (query.wanted, (low + 1) << BLOCK_BITS, (high + 1) << BLOCK_BITS))
    for block, rows in groupby(found, key=lambda row: row[0] >> BLOCK_BITS):
        indexes = sorted(row[0] & MAX_BLOCK_RECORDS - 1 for row in rows)
        for _, _, body in db.execute(_BLOCKS[False], {**asked, "low": block - 1, "high": block}):
            yield block, body, indexes


def _without(db: sqlite3.Connection, unwanted: str, block: int, count: int) -> list[int]:
    """The indexes of a block's records that the full-text index does not find."""
    found = {
        row[0] & MAX_BLOCK_RECORDS - 1
        for row in db.execute(_ROWS, (unwanted, block << BLOCK_BITS, (block + 1) << BLOCK_BITS))
    }
    return [i for i in range(count) if i not in found]


def _in_block(raw: bytes, query: Query, span: Span, rows: Iterable[int] | None, newest_first: bool) -> Iterator[Found]:
    if not may_match(query, raw):
        return
    documents = raw.split(b"\n")
    chosen = list(range(len(documents)) if rows is None else rows)
    for i in reversed(chosen) if newest_first else chosen:
        document = documents[i]
        if not may_match(query, document) or (query.tests and not matches(query.tests, document)):
            continue
        time = extract(document)[0]
        if time is None:
            if span.since_us is None and span.until_us is None:
                yield Found(document, 0)
        elif (span.since_us is None or time >= span.since_us) and (span.until_us is None or time <= span.until_us):
            yield Found(document, time)
