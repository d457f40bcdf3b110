"""JSON taken apart without being read: the text of each member or element, exactly as it stands."""

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]

_decoder = json.JSONDecoder(parse_int=float)
_SPACE = " \t\r\n"


def members(text: str) -> dict[str, str]:
    """The values of an object by key; of a repeated key the last."""
    found: dict[str, str] = {}
    at = _skip(text, 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1)
        begin = _skip(text, _skip(text, at) + 1)
        _, end = _decoder.raw_decode(text, begin)
        found[key] = text[begin:end]
        at = _next(text, end)
    return found


def elements(text: str) -> Iterator[str]:
    """The elements of an array."""
    at = _skip(text, 1)
    while text[at] != "]":
        _, end = _decoder.raw_decode(text, at)
        yield text[at:end]
        at = _next(text, end)


def _next(text: str, at: int) -> int:
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
