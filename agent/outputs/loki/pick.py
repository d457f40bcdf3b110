"""Reading a few places of a document, and nothing else of it. Pure.

The usual document is decoded into a struct that has just these places, each a string or not there: what lies between
them is passed over. One in which a place holds something else, or that msgspec refuses, is read whole.
"""

import json
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import msgspec

Picked = tuple[str | None, ...]
Tree = dict[str, "Tree | int"]


def picker(places: Iterable[str]) -> Callable[[bytes], Picked]:
    """What reads the texts at these dotted places, in their order; None for a place that is not there or holds neither
    text, an integer nor a truth value. At least two places, each once."""
    paths = [place.split(".") for place in places]
    decode, get = _compiled(paths)

    def pick(document: bytes) -> Picked:
        try:
            found: Picked = get(decode(document))
        except (ValueError, RecursionError):  # msgspec's errors are
            content = _read(document)
            return tuple([_text(content, path) for path in paths])
        return found

    return pick


def _compiled(paths: list[list[str]]) -> tuple[Callable[[bytes], Any], Callable[[Any], Any]]:
    """A decoder, and what takes the places out of what it decodes."""
    tree: Tree = {}
    for number, path in enumerate(paths):
        at: Any = tree
        for key in path[:-1]:
            at = at.setdefault(key, {})
            if isinstance(at, int):
                return _refuse, tuple
        if path[-1] in at:
            return _refuse, tuple
        at[path[-1]] = number
    attributes = {}

    def struct(tree: Tree, prefix: str) -> type[msgspec.Struct]:
        fields: list[Any] = []
        for index, (key, inner) in enumerate(tree.items()):
            name = f"f{index}"
            if isinstance(inner, int):
                attributes[inner] = prefix + name
                fields.append((name, str | None, msgspec.field(name=key, default=None)))
            else:
                kind = struct(inner, f"{prefix}{name}.")
                fields.append((name, kind, msgspec.field(name=key, default_factory=kind)))
        return msgspec.defstruct("Picked", fields)

    decode = msgspec.json.Decoder(struct(tree, "")).decode
    return decode, attrgetter(*[attributes[number] for number in range(len(paths))])


def _refuse(document: bytes) -> Any:
    """Where one place lies within another there is no struct for both."""
    raise ValueError


def _read(document: bytes) -> Any:
    """The document, as far as it can be read; None when it cannot."""
    try:
        return json.loads(document, parse_int=str)  # an int of over 4,300 digits would be refused
    except (ValueError, RecursionError):
        return None


def _text(content: Any, path: list[str]) -> str | None:
    for key in path:
        if not isinstance(content, dict):
            return None
        content = content.get(key)
    if isinstance(content, bool):
        return "true" if content else "false"
    return content if isinstance(content, str) else None
