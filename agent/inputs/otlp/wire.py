"""As much of the protobuf wire format as it takes to reach each log record by itself.

``ExportLogsServiceRequest`` is taken apart here down to its records (``opentelemetry/proto/logs/v1/logs.proto``,
version 1.7), and the library decodes them one by one: a message object takes a hundred times the two bytes of an empty
record, so a whole request decoded at once would be out of proportion.

Also the two small messages of an answer, so that answering needs no library.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agent.varint import varint

MAX_SCOPES = 50_000
MAX_RECORDS = 500_000
_OF_REQUEST = _RESOURCE = _SCOPE = 1
_OF_RESOURCE = _OF_SCOPE = 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10


class Malformed(ValueError):
    """The bytes are no protobuf message."""


class Scope(NamedTuple):
    """Where a scope lies within a request, and what goes for all its records."""

    resource: bytes
    scope: bytes
    begin: int
    end: int


def scopes(request: bytes) -> list[Scope]:
    """The scopes of a request, which is looked through down to its records. Raises ``Malformed``, also for more scopes
    or records than anybody sends."""
    found: list[Scope] = []
    records = 0
    for number, begin, end in _fields(request, 0, len(request)):
        if number == _OF_REQUEST:
            resource = _merged(request, begin, end, _RESOURCE)
            for inner, a, b in _fields(request, begin, end):
                if inner == _OF_RESOURCE:
                    found.append(Scope(resource, _merged(request, a, b, _SCOPE), a, b))
                    records += sum(1 for _ in records_of(request, found[-1]))
                if len(found) > MAX_SCOPES or records > MAX_RECORDS:
                    raise Malformed(f"more than {MAX_SCOPES} scopes or {MAX_RECORDS} records in one request")
    return found


def records_of(request: bytes, scope: Scope) -> Iterator[tuple[int, int]]:
    """Where its records lie within the request."""
    return ((begin, end) for number, begin, end in _fields(request, scope.begin, scope.end) if number == _OF_SCOPE)


def _merged(data: bytes, begin: int, end: int, wanted: int) -> bytes:
    """A message within a message. One that is met twice is merged, and merging is joining."""
    return b"".join([data[a:b] for number, a, b in _fields(data, begin, end) if number == wanted])


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message that hold bytes: number, begin, end. The others are passed over."""
    while at < end:
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(data, at, end)
            if size > end - at:
                raise Malformed("a field is longer than what holds it")
            yield key >> 3, at, at + size
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
            if at > end:
                raise Malformed("a field is cut off")
        else:
            raise Malformed(f"a field of the unknown wire type {kind}")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    for position in range(at, min(end, at + _MAX_VARINT_BYTES)):
        value |= (data[position] & 0x7F) << shift
        if data[position] < 0x80:
            return value, position + 1
        shift += 7
    raise Malformed("a number is cut off")


def response(rejected: int, message: str) -> bytes:
    """``ExportLogsServiceResponse``, with a partial success if there is anything to say."""
    if not rejected:
        return b""
    partial = b"\x08" + varint(rejected) + _text(2, message)
    return b"\x0a" + varint(len(partial)) + partial


def status(code: int, message: str) -> bytes:
    """``google.rpc.Status``."""
    return b"\x08" + varint(code) + _text(2, message)


def _text(number: int, text: str) -> bytes:
    data = text.encode(errors="replace")
    return bytes((number << 3 | _BYTES,)) + varint(len(data)) + data
