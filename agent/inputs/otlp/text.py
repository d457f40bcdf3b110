"""Log records in protobuf's JSON mapping, as OTLP narrows it: lower camel case, ids in hex, enumerations as numbers,
64-bit integers as strings or numbers, unknown keys passed over, null as good as absent."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from agent.inputs.http.answers import Refusal, Refused
from agent.inputs.otlp.document import LogRecord, common_of, line_of, object_of

MAX_MEMBERS: Final = 1_500_000
"""Objects, or commas, of a request: what they are decoded to takes twenty times their least length."""
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?").fullmatch
_ABSENT: Final = msgspec.Raw()
_HEX: Final = re.compile(r"[0-9A-Fa-f]*").fullmatch


class _Value(msgspec.Struct, rename="camel"):
    string_value: msgspec.Raw = _ABSENT
    bool_value: bool | None = None
    int_value: msgspec.Raw = _ABSENT
    double_value: msgspec.Raw = _ABSENT
    array_value: "_Values | None" = None
    kvlist_value: "_Members | None" = None
    bytes_value: msgspec.Raw = _ABSENT


class _Values(msgspec.Struct):
    values: list[_Value] | None = None


class _Member(msgspec.Struct):
    key: str = ""
    value: _Value | None = None


class _Members(msgspec.Struct):
    values: list[_Member] | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Member] | None = None


class _Scope(msgspec.Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[_Member] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[msgspec.Raw] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


class _Record(msgspec.Struct, rename="camel"):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Member] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    flags: int | None = None
    event_name: str | None = None
    dropped_attributes_count: int | None = None


_request: Final = msgspec.json.Decoder(_Request).decode
_record: Final = msgspec.json.Decoder(_Record).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def lines(body: bytes, max_record: int, refused: Refused) -> Iterator[bytes]:
    """Each record as a line. Raises ``Refusal`` before the first one when the request is none."""
    if max(body.count(b"{"), body.count(b",")) > MAX_MEMBERS:
        raise Refusal(413, "the body has too many parts; send it in several")
    try:
        request = _request(msgspec.json.format(body, indent=-1) if b"\n" in body else body)
    except _UNREADABLE as error:
        raise Refusal(400, f"the body is no ExportLogsServiceRequest in JSON: {_reason(error)}") from None
    number = 0
    for resource_logs in request.resource_logs or ():
        resource = resource_logs.resource or _Resource()
        for scope_logs in resource_logs.scope_logs or ():
            scope = scope_logs.scope or _Scope()
            common = common_of(
                _members(resource.attributes), scope.name or "", scope.version or "", _members(scope.attributes)
            )
            for raw in scope_logs.log_records or ():
                number += 1
                if memoryview(raw).nbytes > max_record:
                    refused.add(number, f"longer than {max_record} bytes (max_line)")
                    continue
                try:
                    record = _read(_record(raw))
                except _UNREADABLE as error:
                    refused.add(number, _reason(error))
                else:
                    yield line_of(record, common)


def _read(record: _Record) -> LogRecord:
    body: bytes | None = None
    members: list[tuple[str, bytes]] = []
    if record.body is not None and record.body.kvlist_value is not None:
        members = _members(record.body.kvlist_value.values)
    elif record.body is not None:
        body = _text(record.body)
    return LogRecord(
        _nanoseconds(record.time_unix_nano),
        _nanoseconds(record.observed_time_unix_nano),
        record.severity_number or 0,
        record.severity_text or "",
        None if body == b"null" else body,
        members,
        _members(record.attributes),
        _id(record.trace_id),
        _id(record.span_id),
        (record.flags or 0) & 0xFF,
        record.event_name or "",
        record.dropped_attributes_count or 0,
    )


def _nanoseconds(value: int | str | None) -> int:
    number = int(value or 0)
    if not 0 <= number < 2**64:
        raise ValueError("a time is out of range")
    return number


def _id(value: str | None) -> str:
    if value and not _HEX(value):
        raise ValueError("an id is not in hex")
    return (value or "").lower()


def _members(members: Iterable[_Member] | None) -> list[tuple[str, bytes]]:
    return [(member.key, b"null" if member.value is None else _text(member.value)) for member in members or ()]


def _text(value: _Value) -> bytes:
    """The value as it was written; numbers in quotes without them."""
    if said := _said(value.string_value) or _said(value.bytes_value):
        return said
    if said := _said(value.int_value) or _said(value.double_value):
        return _number(said)
    if value.bool_value is not None:
        return b"true" if value.bool_value else b"false"
    if value.kvlist_value is not None:
        return object_of(_members(value.kvlist_value.values))
    if value.array_value is not None:
        return b"[%b]" % b",".join([_text(each) for each in value.array_value.values or ()])
    return b"null"


def _said(value: msgspec.Raw) -> bytes:
    text = bytes(value)
    return b"" if text == b"null" else text


def _number(text: bytes) -> bytes:
    inner = text.strip(b'"')
    return inner if _NUMBER(inner) or inner in (b"NaN", b"Infinity", b"-Infinity") else text


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
