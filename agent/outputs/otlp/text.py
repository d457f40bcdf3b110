"""``ExportLogsServiceRequest`` in the JSON encoding of OTLP: lower camel case, 64-bit integers as strings, ids in
hexadecimal (``opentelemetry-proto``, ``docs/specification.md``, "JSON Protobuf Encoding"). Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from agent.outputs.otlp.record import Record


def request(records: Iterable[Record]) -> bytes:
    """The request that carries these records, in their order within each resource and scope."""
    resources: dict[tuple[tuple[str, str], ...], dict[str, list[Any]]] = {}
    for record in records:
        resources.setdefault(record.resource, {}).setdefault(record.logger, []).append(_record(record))
    return msgspec.json.encode(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": [_pair(*each) for each in attributes]},
                    "scopeLogs": [
                        {**({"scope": {"name": _text(logger)}} if logger else {}), "logRecords": made}
                        for logger, made in scopes.items()
                    ],
                }
                for attributes, scopes in resources.items()
            ]
        }
    )


def _record(record: Record) -> dict[str, Any]:
    made: dict[str, Any] = {"attributes": [_pair(*each) for each in record.attributes.items()]}
    if record.time_ns:
        made["timeUnixNano"] = str(record.time_ns)
    if record.observed_ns:
        made["observedTimeUnixNano"] = str(record.observed_ns)
    if record.severity_number:
        made["severityNumber"] = record.severity_number
    if record.severity_text:
        made["severityText"] = _text(record.severity_text)
    if record.body is not None:
        made["body"] = {"stringValue": _text(record.body)}
    if record.trace_id:
        made["traceId"] = record.trace_id.hex()
    if record.span_id:
        made["spanId"] = record.span_id.hex()
    return made


def _pair(name: str, value: Any) -> dict[str, Any]:
    return {"key": _text(name), "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if type(value) is str:
        return {"stringValue": _text(value)}
    if type(value) is bool:
        return {"boolValue": value}
    if type(value) is int:
        return {"intValue": str(value)}
    if type(value) is float:
        return {"doubleValue": value}
    if type(value) is list:
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"kvlistValue": {"values": [_pair(name, item) for name, item in value.items()]}}


def _text(text: str) -> str:
    """As the other encoding spells half a surrogate pair."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
