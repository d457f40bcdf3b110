"""Records whose fields do not lie at the top: they are re-laid as flat records before anything is read.

* Objects within objects that hold places of the document, as ECS writers make them: ``"trace": {"id": …}`` becomes
  ``"trace.id"``.
* loguru's ``serialize=True``: ``{"text": …, "record": {…}}``; what is bound with ``extra`` comes to the top.
* The bodies of LLM calls in OpenAI's style (``model`` with ``messages``, ``choices`` or ``usage``).

Values are moved, never re-written; members nobody asked for stay where they were, in what is left of their object.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from agent.processors.normalise.spellings import NESTED
from agent.processors.normalise.tolerant import Record, decode, walk
from agent.values import Value, is_object, is_string, quote, unquote

Tree = Mapping[str, "str | Tree"]
"""Which members of an object to move: the key each gets at the top."""

_reasons: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_LOGURU: Final[Tree] = {
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
_USAGE: Final[Tree] = {"prompt_tokens": "gen_ai.usage.input_tokens", "completion_tokens": "gen_ai.usage.output_tokens"}
_LLM: Final = frozenset(("messages", "choices", "usage"))


def _tree(keys: tuple[str, ...]) -> Tree:
    root: dict[str, str | Tree] = {}
    for key in keys:
        *parents, leaf = key.split(".")
        branch = root
        for parent in parents:
            branch = branch.setdefault(parent, {})  # type: ignore[assignment]
        branch[leaf] = key
    return root


_ECS: Final = _tree(NESTED)


def has_shape(keys: tuple[str, ...]) -> bool:
    """Whether a record with these keys may have one of the shapes."""
    names = set(keys)
    return (
        not names.isdisjoint(_ECS) or names == {"text", "record"} or ("model" in names and not names.isdisjoint(_LLM))
    )


def reshape(record: Record) -> Record:
    """The record laid flat. One that only looks as if it had a shape comes back as it was."""
    if record.keys() == {"text", "record"}:
        record = _loguru(record)
    if "model" in record and not _LLM.isdisjoint(record):
        record = _llm(record)
    flat: Record = {}
    for key, value in record.items():
        tree = _ECS.get(key)
        if tree is None or isinstance(tree, str):
            flat[key] = value
        else:
            _move(key, value, tree, flat, taken=record)
    return flat


def _members(value: Value) -> Record:
    """The members of an object that was decoded before, strictly or not."""
    try:
        return decode(bytes(value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return walk(bytes(value).decode()).members


def _object(members: Record) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (quote(key), bytes(value)) for key, value in members.items())


def _move(key: str, value: Value, tree: Tree, flat: Record, taken: Record) -> None:
    """Put an object's members into ``flat`` under the keys the tree gives them, and what is left of it under its own
    key."""
    left, moved = _split(bytes(value), tree, taken)
    flat.update(moved)
    if left is not None:
        flat[key] = left


def _split(value: bytes, tree: Tree, taken: Record) -> tuple[Value | None, Record]:
    """What is left of an object, None if nothing, and what the tree takes out of it. A key that is ``taken`` stays
    where it is."""
    moved: Record = {}
    if not is_object(value):
        return value, moved
    left: Record = {}
    for name, member in _members(value).items():
        branch = tree.get(name)
        if isinstance(branch, str):
            text = bytes(member)
            if branch in taken or text == b"null":
                left[name] = member
            else:
                moved[branch] = member
        elif branch is not None:
            inner_left, inner_moved = _split(bytes(member), branch, taken)
            moved.update(inner_moved)
            if inner_left is not None:
                left[name] = inner_left
        else:
            left[name] = member
    if not moved:
        return value, moved
    return (_object(left) if left else None), moved


def _loguru(record: Record) -> Record:
    inside = bytes(record["record"])
    if not (is_object(inside) and is_string(bytes(record["text"]))):
        return record
    members = _members(inside)
    if not members.keys() >= {"message", "level", "time"}:
        return record
    extra = bytes(members.pop("extra", b"null"))
    left, flat = _split(_object(members), _LOGURU, {})
    text = unquote(bytes(record["text"]))
    if "error.type" in flat and (at := text.find("Traceback (most recent call last):")) >= 0:
        flat["error.stack_trace"] = quote(text[at:])
    kept: Record = {}
    if is_object(extra):
        for key, value in _members(extra).items():
            (kept if key in flat or key in record else flat)[key] = value
    flat["text"] = record["text"]
    rest = _members(left) if left is not None else {}
    if kept:
        rest["extra"] = _object(kept)
    if rest:
        flat["record"] = _object(rest)
    return flat


def _llm(record: Record) -> Record:
    if not is_string(bytes(record["model"])):
        return record
    flat: Record = {}
    for key, value in record.items():
        if key == "usage":
            _move(key, value, _USAGE, flat, taken=record)
        elif key == "choices":
            flat["outputs" if "outputs" not in record else key] = value
            if reasons := _finish_reasons(value):
                flat["gen_ai.response.finish_reasons"] = reasons
        else:
            renamed = {"model": "gen_ai.request.model", "messages": "inputs"}.get(key, key)
            flat[renamed if renamed not in record else key] = value
    return flat


def _finish_reasons(choices: Value) -> bytes | None:
    try:
        found = [bytes(choice["finish_reason"]) for choice in _reasons(choices) if "finish_reason" in choice]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return b"[%b]" % b",".join(found) if found and all(map(is_string, found)) else None
