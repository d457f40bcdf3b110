"""``ExportLogsServiceRequest`` in protobuf (``opentelemetry/proto/logs/v1/logs.proto``, version 1.7), written directly:
building the library's message objects costs several times as much. Pure; the tests read it with the library.

A message is its fields one after the other, each a key (number and wire type) and a value; an unknown or empty field
is left out. A message within a message stands behind its length.
"""

import struct
from collections.abc import Iterable
from typing import Any, Final

from agent.outputs.otlp.record import Record
from agent.varint import varint

_MAX_REMEMBERED: Final = 4096
_MAX_REMEMBERED_CHARS: Final = 64


_LENGTHS: Final = [varint(n) for n in range(1024)]
_fixed64: Final = struct.Struct("<Q").pack
_double: Final = struct.Struct("<d").pack


def _bytes(key: bytes, data: bytes) -> bytes:
    """A field that holds bytes, a string or a message; ``key`` is its number and the wire type 2."""
    size = len(data)
    return key + (_LENGTHS[size] if size < 1024 else varint(size)) + data


def request(records: Iterable[Record]) -> bytes:
    """The request that carries these records, in their order within each resource and scope."""
    resources: dict[tuple[tuple[str, str], ...], dict[str, list[bytes]]] = {}
    for record in records:
        resources.setdefault(record.resource, {}).setdefault(record.logger, []).append(_record(record))
    out = []
    for attributes, scopes in resources.items():
        parts = [_bytes(b"\x0a", b"".join(_pairs(b"\x0a", attributes)))]
        for logger, encoded in scopes.items():
            scope = _bytes(b"\x0a", _bytes(b"\x0a", _text(logger))) if logger else b""
            parts.append(_bytes(b"\x12", b"".join([scope, *encoded])))
        out.append(_bytes(b"\x0a", b"".join(parts)))
    return b"".join(out)


def _record(record: Record) -> bytes:
    """One of ``ScopeLogs.log_records``."""
    parts = []
    if record.time_ns:
        parts.append(b"\x09" + _fixed64(record.time_ns))
    if record.severity_number:
        parts.append(b"\x10" + _LENGTHS[record.severity_number])
    if record.severity_text:
        parts.append(_bytes(b"\x1a", _text(record.severity_text)))
    if record.body is not None:
        parts.append(_bytes(b"\x2a", _bytes(b"\x0a", _text(record.body))))
    parts += _pairs(b"\x32", record.attributes.items())
    if record.trace_id:
        parts.append(_bytes(b"\x4a", record.trace_id))
    if record.span_id:
        parts.append(_bytes(b"\x52", record.span_id))
    if record.observed_ns:
        parts.append(b"\x59" + _fixed64(record.observed_ns))
    return _bytes(b"\x12", b"".join(parts))


class _Names(dict[str, bytes]):
    """A name as the first field of its ``KeyValue``, remembered if it is short: most records of a model have the
    same."""

    def __missing__(self, name: str) -> bytes:
        field = _bytes(b"\x0a", _text(name))
        if len(name) <= _MAX_REMEMBERED_CHARS:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[name] = field
        return field


_names: Final = _Names()
_remembered: Final[dict[tuple[str, str], bytes]] = {}


def _pairs(key: bytes, items: Iterable[tuple[str, Any]]) -> list[bytes]:
    """Fields ``key`` with a ``KeyValue`` each. Short strings are remembered, for most records share most of them."""
    out = []
    for name, value in items:
        kind = type(value)
        if kind is str and len(value) <= _MAX_REMEMBERED_CHARS >= len(name):
            pair = _remembered.get((name, value))
            if pair is None:
                if len(_remembered) >= _MAX_REMEMBERED:
                    _remembered.clear()
                pair = _remembered[name, value] = _names[name] + _bytes(b"\x12", _value(value))
        elif kind is float:
            pair = _names[name] + b"\x12\x09\x21" + _double(value)
        else:
            pair = _names[name] + _bytes(b"\x12", _value(value))
        out.append(_bytes(key, pair))
    return out


def _value(value: Any) -> bytes:
    """An ``AnyValue``; an empty one is null."""
    if value is None:
        return b""
    if type(value) is str:
        return _bytes(b"\x0a", _text(value))
    if type(value) is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if type(value) is int:
        return b"\x18" + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if type(value) is float:
        return b"\x21" + _double(value)
    if type(value) is list:
        return _bytes(b"\x2a", b"".join([_bytes(b"\x0a", _value(item)) for item in value]))
    return _bytes(b"\x32", b"".join(_pairs(b"\x0a", value.items())))


def _text(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which that cannot hold, is spelt out as JSON does."""
    return text.encode("utf-8", "backslashreplace")
