"""Documents, and stores that hold them, for the tests of the store."""

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path

from agent.outputs.local.reader import START, Span, find, newest
from agent.outputs.local.search import Form, run, search
from agent.outputs.local.store import Store
from agent.query.language import parse

ROOM = 16 * 1024**2
FOR_EVER_SECS = 1e9


def record(message: str = "prediction served", **places: object) -> bytes:
    """A document: ``message`` and what is given by place, with ``__`` for a dot (``log__level="error"``)."""
    document: dict[str, object] = {"@timestamp": "2026-11-22T10:00:00.123Z", "message": message}
    for place, value in places.items():
        *outer, last = ("@timestamp" if place == "time" else place).split("__")
        inner = document
        for name in outer:
            inner = inner.setdefault(name, {})  # type: ignore[assignment]
        inner[last] = value
    return json.dumps(document, separators=(",", ":")).encode()


def store_at(folder: Path, *, max_bytes: int = ROOM, max_age_secs: float = FOR_EVER_SECS) -> Store:
    """A store that keeps everything the tests put in unless told otherwise."""
    return Store(folder, max_bytes=max_bytes, max_age_secs=max_age_secs)


def fill(folder: Path, documents: Sequence[bytes], cursor: bytes = b"1") -> None:
    """Store documents in one batch, and close the store."""
    with store_at(folder) as store:
        store.append(documents, cursor)


def everything(folder: Path) -> list[bytes]:
    """All documents in the order they were stored. Fails when a part cannot be read."""
    return found(folder, "")


def found(folder: Path, query: str, *, newest_first: bool = False, **span: int | None) -> list[bytes]:
    """The documents a query finds. Fails when a part cannot be read."""

    def skipped(path: Path, reason: str) -> None:
        raise AssertionError(f"{path}: {reason}")

    asked = Span(START, newest(folder), **span)
    return [item.document for item in find(folder, parse(query), asked, newest_first=newest_first, skipped=skipped)]


def shown(folder: Path, query: str = "", *, limit: int = 50, as_json: bool = False, color: bool = False) -> str:
    """What a search writes."""
    asked = search(folder, query, since=None, until=None, limit=limit, follow=False, now_us=0)
    out = io.BytesIO()
    run(asked, Form(as_json=as_json, color=color), out, skipped=lambda path, reason: None, wait=lambda secs: False)
    return out.getvalue().decode()


class Clock:
    """A clock that stands still until ``secs`` is set."""

    def __init__(self) -> None:
        self._begin_ns = time.time_ns()
        self.secs = 0

    def __call__(self) -> int:
        return self._begin_ns + self.secs * 1_000_000_000
