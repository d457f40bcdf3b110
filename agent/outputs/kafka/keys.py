"""What of a document goes beside it in Kafka: the key, and the headers that name the model. Pure."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from agent.outputs.kafka.record_batch import Keyed, header

KeyOf = Callable[[bytes], Keyed]


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


_decode: Final = msgspec.json.Decoder(_Document).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NOBODY: Final = _Named()
_NO_MODEL: Final = _Ml()
_NO_LOG: Final = _Log()
_NO_FILE: Final = _File()
_FLAT: Final = ("fields", "labels")


def key_of(key: str) -> KeyOf:
    """What finds key and headers of a document, for the setting ``key``."""
    if key == "none":
        return lambda document: _of_model(_read(document), keyed=False)
    if key == "model":
        return lambda document: _of_model(_read(document), keyed=True)
    if key == "source":
        return _by_source
    place = key.removeprefix("field:")
    return lambda document: _with_key(_read(document), value_at(document, place))


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


def _read(document: bytes) -> _Document:
    try:
        return _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(document)


def _read_slowly(document: bytes) -> _Document:
    """The same of what msgspec refuses: lone surrogates, very deep nesting. Python's own reader takes the first."""
    try:
        found: Any = json.loads(document)
    except (ValueError, RecursionError):
        return _Document()

    def text(*names: str) -> str | None:
        value = found
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None

    return _Document(
        _Ml(_Named(text("ml", "model", "name"), text("ml", "model", "version"))),
        _Log(_File(text("log", "file", "path"))),
        _Named(text("host", "name")),
    )


def _of_model(document: _Document, *, keyed: bool) -> Keyed:
    model = (document.ml or _NO_MODEL).model or _NOBODY
    return _keyed(model.name if keyed else None, model.name, model.version)


def _by_source(document: bytes) -> Keyed:
    found = _read(document)
    host = (found.host or _NOBODY).name
    path = ((found.log or _NO_LOG).file or _NO_FILE).path
    model = (found.ml or _NO_MODEL).model or _NOBODY
    source = ":".join(filter(None, (host, path))) or None
    return _keyed(source, model.name, model.version)


def _with_key(document: _Document, key: bytes | None) -> Keyed:
    beside = _of_model(document, keyed=False)
    return Keyed(key, beside.headers, beside.count)


@lru_cache(maxsize=1024)
def _keyed(key: str | None, model: str | None, version: str | None) -> Keyed:
    headers = [
        header(name, value.encode())
        for name, value in (("ml.model.name", model), ("ml.model.version", version))
        if value is not None
    ]
    return Keyed(None if key is None else key.encode(), b"".join(headers), len(headers))
