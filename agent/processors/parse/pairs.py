"""Lines of pairs: logfmt, and pairs with marks of one's own choice.

A value in double quotes is what JSON makes of it, and stays as it is written; where it is no JSON string, it is the
text between the quotes. Where a key comes twice the last value counts, as in an object, and the whole line is kept.
"""

import re
from datetime import tzinfo
from typing import Final

import msgspec

from agent.processors.normalise.tolerant import Record
from agent.processors.parse.config import KeyValueParse, LogfmtParse
from agent.processors.parse.parser import Parts, keep_line
from agent.processors.parse.typed import Typed
from agent.values import quote

_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_is_quoted: Final = re.compile(_QUOTED, re.DOTALL).fullmatch
_decode: Final = msgspec.json.Decoder(str).decode

_is_name: Final = re.compile(r'[^"\x00-\x1f]+').fullmatch
# What is between pairs of logfmt is white space, and no part of it is anything but a pair.
next_pair: Final = re.compile(rf'\s*+([^\s="\x00-\x1f]++)=({_QUOTED}(?=\s|\Z)|[^\s"]*+)(?=\s|\Z)').match


class LogfmtWay:
    """Lines that hold pairs and nothing else."""

    def __init__(self, config: LogfmtParse, zone: tzinfo | None) -> None:
        self._parts = Parts(config, zone)

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The pairs of a line."""
        text = text.rstrip()
        pairs, at = [], 0
        while at < len(text):
            found = next_pair(text, at)
            if not found:
                return None
            pairs.append((found[1], found[2]))
            at = found.end()
        return _record(text, pairs, self._parts, read_at_ns, whole=False) if pairs else None


class KeyValueWay:
    """Lines with pairs among other things."""

    def __init__(self, config: KeyValueParse, zone: tzinfo | None) -> None:
        self._parts = Parts(config, zone)
        self._between = config.between
        between, separator = re.escape(config.between), re.escape(config.separator)
        # A piece ends at a separator outside quotes. A quote opens only where a value begins.
        self._pieces = re.compile(
            rf"{separator}|((?:{between}(?:\s*+{_QUOTED})?|(?!{separator}).)++)", re.DOTALL
        ).findall

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The pairs of a line; the whole line is kept where something in it is no pair."""
        pairs, left_out = [], False
        for piece in self._pieces(text):
            name, between, value = piece.partition(self._between)
            name = name.strip()
            if between and _is_name(name):
                pairs.append((name, value.strip()))
            else:
                left_out = left_out or bool(piece.strip())
        return _record(text, pairs, self._parts, read_at_ns, whole=left_out) if pairs else None


def _record(text: str, pairs: list[tuple[str, str]], parts: Parts, read_at_ns: int, *, whole: bool) -> Record:
    record: Record = {}
    for name, value in pairs:
        key, typed = parts.of(name)
        whole = whole or key in record
        record[key] = _quoted(value, typed) if _is_quoted(value) else typed(value)
    if whole:
        keep_line(record, text)
    return parts.finish(record, read_at_ns)


def _quoted(value: str, typed: Typed) -> bytes:
    written = value.encode()
    try:
        text = _decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return typed(value[1:-1])
    return written if typed is quote else typed(text)
