"""``ExportLogsServiceRequest`` in protobuf (``opentelemetry/proto/logs/v1/logs.proto``, version 1.7), written directly:
building the library's message objects costs several times as much. Pure; the tests read it with the library.

A message is its fields one after the other, each a key (number and wire type) and a value; an unknown or empty field
is left out. A message within a message stands behind its length.
"""

import struct
from collections.abc import Iterable
from typing import Any, Final

from agent.outputs.otlp.record import Record

_MAX_REMEMBERED: Final = 4096
_MAX_REMEMBERED_CHARS: Final = 64


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS: Final = [_varint(n) for n in range(1024)]
_fixed64: Final = struct.Struct("<Q").pack
_double: Final = struct.Struct("<d").pack


def _bytes(key: bytes, data: bytes) -> bytes:
    """A field that holds bytes, a string or a message; ``key`` is its number and the wire type 2."""
    size = len(data)
    return key + (_LENGTHS[size] if size < 1024 else _varint(size)) + data


def request(records: Iterable[Record]) -> bytes:
    """The request that carries these records, in their order within each resource and scope."""
    resources: dict[tuple[tuple[str, str], ...], dict[str, list[bytes]]] = {}
    for record in records:
        resources.setdefault(record.resource, {}).setdefault(record.logger, []).append(_record(record))
    out = []
    for attributes, scopes in resources.items():
        parts = [_bytes(b"\x0a", b"".join([_pair(b"\x0a", *each) for each in attributes]))]
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
    parts += [_pair(b"\x32", name, value) for name, value in record.attributes.items()]
    if record.trace_id:
        parts.append(_bytes(b"\x4a", record.trace_id))
    if record.span_id:
        parts.append(_bytes(b"\x52", record.span_id))
    if record.observed_ns:
        parts.append(b"\x59" + _fixed64(record.observed_ns))
    return _bytes(b"\x12", b"".join(parts))


_remembered: Final[dict[tuple[bytes, str, str], bytes]] = {}


def _pair(key: bytes, name: str, value: Any) -> bytes:
    """A ``KeyValue`` in the field ``key``. Short strings are remembered: most records of a model share most of them."""
    if type(value) is not str or len(value) > _MAX_REMEMBERED_CHARS:
        return _bytes(key, _bytes(b"\x0a", _text(name)) + _bytes(b"\x12", _value(value)))
    found = _remembered.get((key, name, value))
    if found is None:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        found = _bytes(key, _bytes(b"\x0a", _text(name)) + _bytes(b"\x12", _bytes(b"\x0a", _text(value))))
        _remembered[key, name, value] = found
    return found


def _value(value: Any) -> bytes:
    """An ``AnyValue``; an empty one is null."""
    if value is None:
        return b""
    if type(value) is str:
        return _bytes(b"\x0a", _text(value))
    if type(value) is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if type(value) is int:
        return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    if type(value) is float:
        return b"\x21" + _double(value)
    if type(value) is list:
        return _bytes(b"\x2a", b"".join([_bytes(b"\x0a", _value(item)) for item in value]))
    return _bytes(b"\x32", b"".join([_pair(b"\x0a", name, item) for name, item in value.items()]))


def _text(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which that cannot hold, is spelt out as JSON does."""
    return text.encode("utf-8", "backslashreplace")
