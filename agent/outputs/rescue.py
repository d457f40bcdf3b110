"""A refused record in a form that Elasticsearch cannot refuse.

It keeps the time, the identity and the reason, each only if it is of the plain kind its place needs, and the document
as one string in ``event.original``, which is stored and not indexed. It is sent under the record's own id, so it takes
the record's place.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_KEPT: Final = {
    "log": {"level": None, "logger": None, "file": {"path": None}},
    "ml": {"model": {"name": None, "version": None, "stage": None, "framework": None}, "inference": {"id": None}},
    "host": {"name": None},
    "container": {"id": None, "name": None},
    "orchestrator": {"cluster": {"name": None}, "namespace": None, "resource": {"name": None}},
    "service": {"name": None, "version": None, "environment": None},
    "data_stream": {"type": None, "dataset": None, "namespace": None},
    "event": {"dataset": None, "created": None},
    "ecs": {"version": None},
    "trace": {"id": None},
}
_MAX_KEPT_CHARS: Final = 1024
_MAX_MESSAGE_CHARS: Final = 32_000

# The dates Elasticsearch's strict_date_optional_time takes, of those modeltail writes: what is not of this form is not
# tried again.
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.\d{1,9})?(?:Z|[+-](?:0\d|1[0-7]):[0-5]\d)?"
)


def rescued(record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes:
    """The document in its safe form: JSON without a newline, whatever bytes the document is.

    Of a document of more than ``max_bytes`` only so much is in ``event.original``, and ``labels.truncated`` says so.
    """
    shape = _read(document)
    safe: dict[str, Any] = _pick(shape, _KEPT)
    created = safe.get("event", {}).get("created")
    if not _is_time(created):
        safe.get("event", {}).pop("created", None)
        created = None
    written = shape.get("@timestamp")
    safe["@timestamp"] = written if _is_time(written) else created or _now()
    text = document.decode("utf-8", "replace")
    labels = {"rescued": "refused"}
    if max_bytes is not None and len(document) > max_bytes:
        text = document[:max_bytes].decode("utf-8", "ignore")
        labels["truncated"] = "document"
    message = shape.get("message")
    if isinstance(message, str):
        safe["message"] = _plain(message[:_MAX_MESSAGE_CHARS])
    safe.setdefault("event", {}).update(id=record, original=text)
    safe["error"] = {"type": "modeltail.refused", "message": _plain(reason)}
    safe["labels"] = labels
    return msgspec.json.encode(safe)


def _read(document: bytes) -> dict[str, Any]:
    """The document as an object, as far as it can be read; empty when it cannot."""
    try:
        value = json.loads(document, parse_int=float)  # an int of over 4,300 digits would be refused
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _pick(value: dict[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """The parts of a document that are strings in the places we know."""
    picked: dict[str, Any] = {}
    for key, inner in kept.items():
        found = value.get(key)
        if inner is None:
            if isinstance(found, str):
                picked[key] = _plain(found[:_MAX_KEPT_CHARS])
        elif isinstance(found, dict) and (deeper := _pick(found, inner)):
            picked[key] = deeper
    return picked


def _plain(text: str) -> str:
    """Text that can be encoded as UTF-8: a lone surrogate becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _is_time(value: object) -> bool:
    """Whether Elasticsearch takes this as a date. Days that do not exist are refused by both."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        return found is not None and datetime.fromisoformat(found[1]) is not None
    except ValueError:
        return False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
