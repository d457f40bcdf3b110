"""Log records in protobuf. Needs the extra ``otlp``, and is imported when the first such request comes."""

import base64
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.inputs.http.answers import Refusal, Refused
from agent.inputs.otlp.document import Common, LogRecord, common_of, line_of, object_of
from agent.inputs.otlp.wire import Malformed, records_of, scopes
from agent.values import quote

_MAX_COMMON_BYTES: Final = 1024**2
"""Of a resource or a scope: it goes on every record."""


def lines(body: bytes, max_record: int, refused: Refused) -> Iterator[bytes]:
    """Each record as a line. Raises ``Refusal`` before the first one when the request is none."""
    number = 0
    try:
        for scope in scopes(body):
            common = _common(scope.resource, scope.scope)
            for begin, end in records_of(body, scope):
                number += 1
                if end - begin > max_record:
                    refused.add(number, f"longer than {max_record} bytes (max_line)")
                    continue
                try:
                    record = logs_pb2.LogRecord.FromString(body[begin:end])
                except DecodeError as error:
                    refused.add(number, str(error))
                else:
                    yield line_of(_record(record), common)
    except Malformed as error:
        raise Refusal(400, f"the body is no ExportLogsServiceRequest in protobuf: {error}") from None


def _common(resource: bytes, scope: bytes) -> Common:
    if len(resource) > _MAX_COMMON_BYTES or len(scope) > _MAX_COMMON_BYTES:
        raise Malformed("a resource or scope is longer than 1 MiB")
    try:
        of, within = Resource.FromString(resource), InstrumentationScope.FromString(scope)
    except DecodeError as error:
        raise Malformed(str(error)) from None
    return common_of(_members(of.attributes), within.name, within.version, _members(within.attributes))


def _record(record: Any) -> LogRecord:
    body = record.body
    kind = body.WhichOneof("value")
    members = _members(body.kvlist_value.values) if kind == "kvlist_value" else ()
    return LogRecord(
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity_number,
        record.severity_text,
        None if kind is None or kind == "kvlist_value" else _value(body),
        members,
        _members(record.attributes),
        record.trace_id.hex(),
        record.span_id.hex(),
        record.flags & 0xFF,
        record.event_name,
        record.dropped_attributes_count,
    )


def _members(pairs: Iterable[Any]) -> list[tuple[str, bytes]]:
    return [(pair.key, _value(pair.value)) for pair in pairs]


def _value(value: Any) -> bytes:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return quote(value.string_value)
    write = _VALUES.get(kind)
    return b"null" if write is None else write(value)


def _double(number: float) -> bytes:
    if math.isfinite(number):
        return repr(number).encode()
    return b"NaN" if math.isnan(number) else b"Infinity" if number > 0 else b"-Infinity"


_VALUES: Final[dict[str | None, Callable[[Any], bytes]]] = {
    "bool_value": lambda value: b"true" if value.bool_value else b"false",
    "int_value": lambda value: b"%d" % value.int_value,
    "double_value": lambda value: _double(value.double_value),
    "array_value": lambda value: b"[%b]" % b",".join([_value(each) for each in value.array_value.values]),
    "kvlist_value": lambda value: object_of(_members(value.kvlist_value.values)),
    "bytes_value": lambda value: b'"%b"' % base64.b64encode(value.bytes_value),
}
