"""The words of documents, asked for without the embedded store: the same index, in memory, for as long as one question
takes.

So a word means the same on the way to an output as it does in a search, whatever the version of SQLite takes for a
word. It costs several microseconds per document.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

from agent.query.extract import COLUMNS, extract

if TYPE_CHECKING:
    from agent.query.language import Query

_TABLE: Final = f"CREATE VIRTUAL TABLE words USING fts5({', '.join(COLUMNS)}, content = '', columnsize = 0)"
_INSERT: Final = f"INSERT INTO words (rowid, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"  # noqa: S608 - constants only
_ROWS: Final = "SELECT rowid FROM words WHERE words MATCH ?"


def with_words(query: "Query", documents: Sequence[bytes]) -> list[int]:
    """The indexes of the documents that hold every word of a query that is wanted, and none that is not."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute(_TABLE)
        db.execute("BEGIN")
        db.executemany(_INSERT, ((i, *extract(document)[2]) for i, document in enumerate(documents)))
        if query.wanted is not None:
            return sorted(row[0] for row in db.execute(_ROWS, (query.wanted,)))
        unwanted = {row[0] for row in db.execute(_ROWS, (query.unwanted,))}
    return [i for i in range(len(documents)) if i not in unwanted]


def fts5_problem() -> str | None:
    """A sentence when this Python's SQLite lacks full-text search, or None."""
    db = sqlite3.connect(":memory:")
    try:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
    except sqlite3.OperationalError as error:
        return f"This Python's SQLite {sqlite3.sqlite_version} has no full-text search (FTS5): {error}."
    finally:
        db.close()
    return None
