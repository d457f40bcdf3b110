"""Values of a part of a line: the text as it stands, or what it is besides.

A number keeps its digits, never through a float. What is not of its type stays text: nothing is lost, and the
document's places take only what they can hold.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from agent.processors.normalise.durations import DurationReader
from agent.processors.normalise.kinds import Long
from agent.processors.normalise.spellings import rules
from agent.processors.parse.config import Kind
from agent.values import quote

_integer: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)").fullmatch
_number: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?").fullmatch
_BOOLS: Final = {"true": b"true", "false": b"false", "True": b"true", "False": b"false"}

Typed = Callable[[str], bytes]
"""The JSON text of a part of a line."""


def integer(text: str) -> bytes:
    """A whole number."""
    return text.encode() if _integer(text) else quote(text)


def number(text: str) -> bytes:
    """A number, as JSON writes them: ``.5`` and ``1_000`` are none."""
    return text.encode() if _number(text) else quote(text)


def boolean(text: str) -> bytes:
    """``true`` or ``false``, as JSON or Python write them."""
    return _BOOLS.get(text) or quote(text)


def json_value(text: str) -> bytes:
    """Any JSON value, on one line."""
    try:
        return msgspec.json.format(text.encode(), indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return quote(text)


_KINDS: Final[dict[Kind, Typed]] = {
    "string": quote,
    "int": integer,
    "float": number,
    "bool": boolean,
    "json": json_value,
}
_NUMBERS: Final = frozenset(key for key, rule in rules(None).items() if isinstance(rule.reader, Long | DurationReader))


def typed(key: str, kind: Kind | None) -> Typed:
    """How the value of a key is read. Without a ``kind``, keys whose place holds a number are read as numbers."""
    if kind is not None:
        return _KINDS[kind]
    return number if key in _NUMBERS else quote
