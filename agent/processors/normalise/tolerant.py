"""Objects, decoded strictly; and the lines that are objects to Python but not to JSON.

Python's ``json`` writes ``NaN``, ``Infinity`` and ``-Infinity``, and escapes of lone surrogates; careless writers
leave control characters in strings. A value keeps the text it was written with, except that

* ``NaN`` and the infinities, anywhere inside, become the strings ``"NaN"``, ``"Infinity"``, ``"-Infinity"``;
* a control character inside a string becomes its escape.

Anything else Python's ``json`` would not read either. A repeated key: the last wins.
"""

import json
import re
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from agent.values import Value

NO_TEXT: Final = "\ufeff\x00"
"""What may stand before any line without belonging to it."""
MARKS: Final = NO_TEXT + " \t\r"
"""What may stand before an object without belonging to it: a byte order mark, and the NULs a truncated file begins
with."""

Record = dict[str, Value]
"""The members of an object, in the order they were written."""

decode: Final[Callable[[bytes], Record]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode  # type: ignore[assignment]
"""The members of an object. Raises ``msgspec.DecodeError`` for what is none, ``RecursionError`` when it is nested too
deeply, ``UnicodeDecodeError`` for keys that are not UTF-8."""

_lenient: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_string: Final = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")', re.DOTALL)
# Only where a value may stand. A word anywhere else stays, and the line is refused for it.
_constant: Final = re.compile(r"(?<=[:,\[\s])(-?Infinity|NaN)(?=\s*[,\]}])")
_control: Final = re.compile(r"[\x00-\x1f]")
_space: Final = re.compile(r"[ \t\r\n]*+")


class Walked(NamedTuple):
    """A tolerated object. ``not_finite``: it held ``NaN`` or an infinity."""

    members: Record
    not_finite: bool


def reason(error: Exception) -> str:
    """Why ``decode`` or ``walk`` took something for no object."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def walk(text: str) -> Walked:
    """The members of an object ``decode`` refused. Raises ``ValueError`` or ``RecursionError``."""
    mended, not_finite = _mend(text)
    try:
        return Walked(decode(mended.encode()), not_finite)
    except msgspec.DecodeError:
        # Lone surrogates, or really broken: Python's own decoder says which, and where each value ends.
        return Walked(_slice(mended), not_finite)


def _mend(text: str) -> tuple[str, bool]:
    """The text with constants marked and control characters escaped, and whether it held such a constant."""
    pieces = _string.split(text)
    found = 0
    for at, piece in enumerate(pieces):
        if at % 2:
            pieces[at] = _control.sub(lambda control: f"\\u{ord(control[0]):04x}", piece)
        elif "N" in piece or "I" in piece:
            pieces[at], count = _constant.subn(r'"\1"', piece)
            found += count
    return "".join(pieces), found > 0


def _slice(text: str) -> Record:
    """The members of an object, each as the part of the text it stands in."""
    members: Record = {}
    at = _after(text, 0, "{")
    if text.startswith("}", at):
        _expect_end(text, at + 1)
        return members
    while True:
        if not text.startswith('"', at):
            raise ValueError("expected a key")
        key, at = _lenient.raw_decode(text, at)
        at = _after(text, at, ":")
        _, end = _lenient.raw_decode(text, at)
        members[key] = text[at:end].encode()
        at = _skip(text, end)
        if text.startswith("}", at):
            _expect_end(text, at + 1)
            return members
        at = _after(text, at, ",")


def _skip(text: str, at: int) -> int:
    found = _space.match(text, at)
    return found.end() if found else at


def _after(text: str, at: int, mark: str) -> int:
    """Where the next thing begins behind a mark that has to stand here."""
    at = _skip(text, at)
    if not text.startswith(mark, at):
        raise ValueError(f"expected {mark!r}")
    return _skip(text, at + 1)


def _expect_end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise ValueError("something stands behind the object")
