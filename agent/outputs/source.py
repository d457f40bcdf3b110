"""Who a document is from, and what stands at a place of it, for the outputs that sort records by it. Pure.

Only what is asked for is read. What msgspec refuses (a lone surrogate, very deep nesting) is read as far as Python's
own reader takes it; what cannot be found is left out, so that nothing in a document can keep it from being sent.
"""

import json
from typing import Any, Final

import msgspec


class _Named(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None


class _Ml(msgspec.Struct, gc=False):
    model: _Named | None = None


class _File(msgspec.Struct, gc=False):
    path: str | None = None


class _Log(msgspec.Struct, gc=False):
    file: _File | None = None


class _Document(msgspec.Struct, gc=False):
    ml: _Ml | None = None
    log: _Log | None = None
    host: _Named | None = None


class Source(msgspec.Struct, frozen=True, gc=False):
    """The model and its version, the host and the file that a document names."""

    model: str | None = None
    version: str | None = None
    host: str | None = None
    path: str | None = None


_decode: Final = msgspec.json.Decoder(_Document).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NOBODY: Final = _Named()
_NO_MODEL: Final = _Ml()
_NO_LOG: Final = _Log()
_NO_FILE: Final = _File()
_FLAT: Final = ("fields", "labels")


def source_of(document: bytes) -> Source:
    """Who wrote a document, as far as it says."""
    try:
        found = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(document)
    model = (found.ml or _NO_MODEL).model or _NOBODY
    path = ((found.log or _NO_LOG).file or _NO_FILE).path
    return Source(model.name, model.version, (found.host or _NOBODY).name, path)


def _read_slowly(document: bytes) -> Source:
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        return Source()

    def text(*names: str) -> str | None:
        value = found
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None

    return Source(
        text("ml", "model", "name"), text("ml", "model", "version"), text("host", "name"), text("log", "file", "path")
    )


def value_at(document: bytes, place: str) -> bytes | None:
    """The value at a place: a string's text, the JSON of anything else; None where there is none, or null."""
    root, dot, rest = place.partition(".")
    names = [root, rest] if dot and root in _FLAT else place.split(".")
    value = document
    try:
        for name in names:
            value = bytes(_decode_object(value)[name])
        if value == b"null":
            return None
        return str(json.loads(value)).encode("utf-8", "surrogatepass") if value.startswith(b'"') else value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, ValueError):
        return None
