"""Whether a document is what a query asks for: the part that the full-text index does not answer.

Values are looked at as the JSON text they are, so that a number of any size compares exactly and an oddity in one
place hides no other.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from agent.query.language import Between, Equals, Exists, Levels, Query, Test
from agent.query.surrogates import mend

MAX_DIGITS: Final = 1000
"""Longer integers are compared as floats, which makes them infinite."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode

Object = dict[str, msgspec.Raw]
Inner = dict[int, Object]


def may_match(query: Query, documents: bytes) -> bool:
    """Quickly: False when no document in these bytes can match."""
    for group in query.needles:
        for needle in group:
            if needle in documents:
                break
        else:
            return b"\\u" in documents
    return True


def matches(tests: Sequence[Test], document: bytes) -> bool:
    """Whether every test holds. What is nested too deep to be read (some hundreds of levels) does not match, negated or
    not.
    """
    try:
        top = decode_object(document)
        inner: Inner = {}
        return all(_holds(test, top, inner) != test.negated for test in tests)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def decode_object(json_text: bytes) -> Object:
    """An object by its names, values as JSON text. Raises ``msgspec.DecodeError`` or ``RecursionError``."""
    try:
        return _decode_object(json_text)
    except msgspec.DecodeError:
        return _decode_object(mend(json_text))


def values(place: str, top: Object, inner: Inner) -> Iterator[bytes]:
    """Every value at a place (``ml.outputs.score``): names with dots in them count as well as nested objects.

    ``inner`` keeps objects decoded on the way, for the next place of the same document.
    """
    if place in top:
        yield bytes(top[place])
    dot = place.find(".")
    while dot > 0:
        raw = top.get(place[:dot])
        if raw is not None:
            nested = inner.get(id(raw))
            if nested is None:
                nested = inner[id(raw)] = _object(raw)
            if nested:
                yield from values(place[dot + 1 :], nested, inner)
        dot = place.find(".", dot + 1)


def _object(raw: msgspec.Raw) -> Object:
    text = bytes(raw)
    return _decode_object(text) if text.lstrip().startswith(b"{") else {}


def text_of(value: bytes) -> str | None:
    """The text of a JSON string, or None for any other value."""
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else None


def _holds(test: Test, top: Object, inner: Inner) -> bool:
    if isinstance(test, Levels):
        return any(text_of(value) in test.names for value in values("log.level", top, inner))
    for place in test.places:
        for value in values(place, top, inner):
            if _fits(test, value.strip()):
                return True
    return False


def _fits(test: Equals | Exists | Between, value: bytes) -> bool:
    if isinstance(test, Exists):
        return value != b"null"
    if value.startswith(b"["):
        return any(_fits(test, bytes(item)) for item in _decode_array(value))
    if isinstance(test, Between):
        return value[:1] in _NUMERIC and _is_between(test, value)
    text = text_of(value)
    if text is None:
        return value.decode() == test.value or (
            test.number is not None and value[:1] in _NUMERIC and _number(value) == test.number
        )
    return text == test.value if test.pattern is None else test.pattern.fullmatch(text) is not None


def _is_between(test: Between, value: bytes) -> bool:
    number = _number(value)
    low, high = test.low, test.high
    if test.strict:
        return (low is None or number > low) and (high is None or number < high)
    return (low is None or number >= low) and (high is None or number <= high)


def _number(value: bytes) -> float | int:
    """The number a JSON text means; integers exactly, up to 1,000 digits."""
    text = value.decode()
    return int(text) if len(text) <= MAX_DIGITS and text.lstrip("-").isdecimal() else float(text)


_NUMERIC: Final = frozenset(b"-0123456789"[i : i + 1] for i in range(11))
