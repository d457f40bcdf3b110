"""JSON text: telling what kind of value it is, and moving strings in and out of it.

A value is its JSON text from the moment a line is decoded until it is stored; only text this module makes is ever
re-written.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

import msgspec

Value = bytes | msgspec.Raw
"""The JSON text of one value, without a newline."""

Column = Sequence[Value]
"""One value for each record of a table."""

_encode: Final = msgspec.json.Encoder().encode
_decode_str: Final = msgspec.json.Decoder(str).decode
_INTEGER: Final = re.compile(rb"-?(?:0|[1-9]\d{0,17})").fullmatch

# One search over the joined column, which stops at the first value that does not fit.
_OTHER_START: Final = {first: re.compile(b"\n[^%b]" % first).search for first in (b'"', b"{")}


def quote(text: str) -> bytes:
    """The JSON text of a string. Lone surrogates, which UTF-8 cannot hold, come out as escapes."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return json.dumps(text).encode()


def unquote(value: bytes) -> str:
    """The string a JSON string's text stands for; it may hold lone surrogates. ``value`` is known to be valid."""
    try:
        return _decode_str(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text: str = json.loads(value)
        return text


def on_one_line(text: bytes) -> bytes:
    """JSON text without white space between its tokens; numbers and strings stay as they are written. In what is no
    JSON, or JSON to Python only (``NaN``), each newline becomes a space: a value must hold none."""
    try:
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text.replace(b"\n", b" ")


def is_string(value: bytes) -> bool:
    """Whether the value is a string."""
    return value.startswith(b'"')


def is_object(value: bytes) -> bool:
    """Whether the value is an object."""
    return value.startswith(b"{")


def is_number(value: bytes) -> bool:
    """Whether the value is a number."""
    return value[:1] in b"-0123456789" and value != b""


def is_long(value: bytes) -> bool:
    """Whether the value is an integer that surely fits 64 bits: at most 18 digits, no fraction, no exponent."""
    return _INTEGER(value) is not None


def all_start_with(column: Column, first: bytes) -> bool:
    """Whether every value of a column begins with this byte. It tells strings (a quote) and objects (a brace)."""
    joined = b"\n".join(column)
    return joined.startswith(first) and _OTHER_START[first](joined) is None
