"""loguru's ``serialize=True``: ``{"text": …, "record": {…}}``."""

from collections.abc import Collection
from typing import Final

from agent.processors.normalise.shapes.moving import Tree, members, object_of, split
from agent.processors.normalise.tolerant import Record
from agent.values import is_object, is_string, quote, unquote

KEYS: Final = frozenset(("text", "record"))

_TREE: Final[Tree] = {
    "time": {"repr": "time"},
    "level": {"name": "level"},
    "message": "message",
    "name": "logger",
    "function": "log.origin.function",
    "line": "log.origin.file.line",
    "file": {"name": "log.origin.file.name"},
    "process": {"id": "process.pid", "name": "process.name"},
    "thread": {"id": "process.thread.id", "name": "process.thread.name"},
    "exception": {"type": "error.type", "value": "error.message"},
}


def is_loguru(keys: Collection[str]) -> bool:
    """Whether a record with these keys may be one of loguru's."""
    return len(keys) == len(KEYS) and KEYS.issuperset(keys)


def lay_flat(record: Record) -> Record:
    """The record, and what was bound to it, at the top."""
    inside = bytes(record["record"])
    if not (is_object(inside) and is_string(bytes(record["text"]))):
        return record
    found = members(inside)
    if not found.keys() >= {"message", "level", "time"}:
        return record
    extra = bytes(found.pop("extra", b"null"))
    left, flat = split(object_of(found), _TREE, ())
    text = unquote(bytes(record["text"]))
    if "error.type" in flat and (at := text.find("Traceback (most recent call last):")) >= 0:
        flat["error.stack_trace"] = quote(text[at:])
    kept: Record = {}
    if is_object(extra):
        for key, value in members(extra).items():
            (kept if key in flat or key in record else flat)[key] = value
    flat["text"] = record["text"]
    rest = members(left) if left is not None else {}
    if kept:
        rest["extra"] = object_of(kept)
    if rest:
        flat["record"] = object_of(rest)
    return flat
