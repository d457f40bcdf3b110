"""Bulk requests to Elasticsearch and what their answers say of each document. Pure; ``index`` sends them.

status of an item        the document
200, 201                 is there
409                      is there already
400 and others below     is refused for what it is
413                      is refused for its size
401, 403, 404, 429, 5xx  comes again: no document is to blame
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from .document import Document

FILTER_PATH = "items.*._id,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"
MAX_REASON_CHARS = 400
_QUICK = 1
_ACTION_BYTES = 80
"""About what the line before each document takes."""

_COME_AGAIN = (401, 403, 404, 429)


class Fate(Enum):
    """What became of a document."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    COME_AGAIN = "come again"


class Item(NamedTuple):
    """A document's fate, and what the server said if it is not there."""

    fate: Fate
    reason: str = ""


class NoAnswer(Exception):
    """What came back is not the answer to this request. The documents may be there; they come again."""


def requests(documents: Sequence[Document], max_bytes: int) -> Iterator[Sequence[Document]]:
    """The documents in pieces of at most this many bytes, and at least one document."""
    start = size = 0
    for i, document in enumerate(documents):
        more = len(document.text) + _ACTION_BYTES
        if i > start and size + more > max_bytes:
            yield documents[start:i]
            start, size = i, 0
        size += more
    if documents:
        yield documents[start:]


def body(documents: Sequence[Document]) -> bytes:
    """The request's body, gzip."""
    lines = [b'{"create":{"_id":"%b"}}\n%b\n' % (document.id.encode(), document.text) for document in documents]
    return gzip.compress(b"".join(lines), _QUICK)


def read_answer(answer: bytes, documents: Sequence[Document]) -> list[Item]:
    """The fate of each document. Raises ``NoAnswer`` when the answer is not about these documents."""
    try:
        items = [item for entry in json.loads(answer)["items"] for item in entry.values()]
        ids = [item["_id"] for item in items]
        fates = [_item(item) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoAnswer("the answer is not that of a bulk request: is this address Elasticsearch's?") from error
    if ids != [document.id for document in documents]:
        raise NoAnswer("the answer speaks of other documents than were sent")
    return fates


def _item(item: dict[str, Any]) -> Item:
    status = int(item["status"])
    if status < 300:
        return Item(Fate.STORED)
    if status == 409:
        return Item(Fate.DUPLICATE)
    reason = reason_of(item.get("error"), status)
    # A missing ingest pipeline refuses every document like a bad one, though none is to blame.
    if status >= 500 or status in _COME_AGAIN or "pipeline with id [" in reason:
        return Item(Fate.COME_AGAIN, reason)
    return Item(Fate.REFUSED, reason)


def reason_of(error: object, status: int) -> str:
    """What the server said, on one line of bounded length."""
    parts: list[object] = [error] if isinstance(error, str) else []
    if isinstance(error, dict):
        cause = error.get("caused_by")
        parts = [error.get("type"), error.get("reason"), cause.get("reason") if isinstance(cause, dict) else None]
    return ": ".join(" ".join(str(part).split())[:MAX_REASON_CHARS] for part in parts if part) or f"status {status}"


def read_refusal(answer: bytes, status: int) -> str:
    """What the server said of a whole request that it did not carry out."""
    try:
        return f"Elasticsearch answered {status}: {reason_of(json.loads(answer).get('error'), status)}"
    except (ValueError, AttributeError, RecursionError):
        return f"Elasticsearch answered {status}"
