"""From a document to the parts of an OpenTelemetry log record. Pure.

The message is the body; time, level and trace go to the places they have; who wrote it and where goes to the resource
that many records share, the logger to the scope. All else is an attribute under its dotted place, so that nothing of a
document is left behind. Names follow OpenTelemetry's semantic conventions 1.37 where they have one.

Numbers stay the numbers they are: integers of 64 bits and doubles that mean exactly what was written; any other is the
text that was written.
"""

import json
import math
from decimal import Decimal
from typing import Any, Final

import msgspec

from agent.outputs.instant import unix_ns

SEVERITIES: Final = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
"""The numbers of the levels (logs data model, "Field: SeverityNumber")."""

RESOURCE: Final = {
    "service.name": "service.name",
    "service.version": "service.version",
    "service.node.name": "service.instance.id",
    "service.environment": "deployment.environment.name",
    "host.name": "host.name",
    "container.id": "container.id",
    "container.name": "container.name",
    "orchestrator.cluster.name": "k8s.cluster.name",
    "kubernetes.namespace": "k8s.namespace.name",
    "kubernetes.pod.name": "k8s.pod.name",
    "kubernetes.pod.uid": "k8s.pod.uid",
    "kubernetes.node.name": "k8s.node.name",
    "kubernetes.container.name": "k8s.container.name",
}
ATTRIBUTES: Final = {
    "event.id": "log.record.uid",
    "error.type": "exception.type",
    "error.message": "exception.message",
    "error.stack_trace": "exception.stacktrace",
    "log.origin.file.name": "code.file.path",
    "log.origin.file.line": "code.line.number",
    "log.origin.function": "code.function.name",
    "process.thread.id": "thread.id",
    "process.thread.name": "thread.name",
}
MAX_DEPTH: Final = 24
"""Values nested more deeply are JSON text: decoders of protobuf give up at a hundred messages within one another, and
an object within an object is three."""

_OWN_SEVERITIES: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_INT64: Final = range(-(2**63), 2**63)


class Record(msgspec.Struct):
    """A log record. Times are nanoseconds since 1970, 0 if unknown. Values are None, booleans, 64-bit integers, finite
    doubles, strings (which may hold lone surrogates), lists, and dicts within lists."""

    resource: tuple[tuple[str, str], ...]
    logger: str
    attributes: dict[str, Any]
    body: str | None = None
    time_ns: int = 0
    observed_ns: int = 0
    severity_number: int = 0
    severity_text: str = ""
    trace_id: bytes = b""
    span_id: bytes = b""


def number(text: str) -> float | str:
    """A number with a fraction or an exponent: a double if that means the same, else its text."""
    value = float(text)
    if repr(value) == text:
        return value
    try:
        return value if math.isfinite(value) and Decimal(repr(value)) == Decimal(text) else text
    except ArithmeticError:  # an exponent beyond all bounds
        return text


_decode: Final = msgspec.json.Decoder(dict[str, Any], float_hook=number).decode


def record_of(document: bytes) -> Record:
    """The record a document becomes. One that cannot be taken apart is the body, whole."""
    try:
        content = _read(document)
        flat: dict[str, Any] = {}
        _flatten(flat, "", content, 1)
    except (ValueError, RecursionError):
        return Record((), "", {}, document.decode("utf-8", "replace"))
    record = Record((), "", flat)
    resource = []
    for place in sorted(flat.keys() & _PLACES):
        value = flat[place]
        if place in ATTRIBUTES:
            if ATTRIBUTES[place] not in flat:
                flat[ATTRIBUTES[place]] = flat.pop(place)
        elif isinstance(value, str):
            if place in RESOURCE:
                resource.append((RESOURCE[place], value))
                del flat[place]
            elif _TAKEN[place](record, value):
                del flat[place]
    record.resource = tuple(resource)
    if record.severity_number and flat.get("event.severity") == _OWN_SEVERITIES[record.severity_text]:
        del flat["event.severity"]
    return record


def _read(document: bytes) -> dict[str, Any]:
    try:
        return _decode(document)
    except ValueError:  # msgspec's errors are; it refuses half a surrogate pair and integers of thousands of digits
        value = json.loads(document, parse_float=number, parse_int=_integer)
        if not isinstance(value, dict):
            raise
        return value


def _integer(text: str) -> int | str:
    return int(text) if len(text) < 20 else text


def _flatten(flat: dict[str, Any], prefix: str, members: dict[str, Any], depth: int) -> None:
    """Add the values by dotted place. Where two have the same, the later one's is numbered."""
    for key, value in members.items():
        name = prefix + key
        kind = type(value)
        if kind is dict and value and depth < MAX_DEPTH:
            _flatten(flat, f"{name}.", value, depth + 1)
            continue
        if name in flat:
            name = f"{name}#{len(flat)}"
        flat[name] = value if kind is str or kind is float else _plain(value, 1)


def _plain(value: Any, depth: int) -> Any:
    """The value within the bounds of the protocol."""
    if type(value) is int:
        return value if value in _INT64 else str(value)
    if type(value) not in (list, dict):
        return value
    if depth > MAX_DEPTH:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if type(value) is list:
        return [_plain(item, depth + 1) for item in value]
    return {key: _plain(item, depth + 1) for key, item in value.items()}


# What has a place of its own in a record: each returns whether it took the value.


def _time(record: Record, text: str) -> bool:
    record.time_ns = unix_ns(text) or 0
    return record.time_ns != 0


def _observed(record: Record, text: str) -> bool:
    record.observed_ns = unix_ns(text) or 0
    return record.observed_ns != 0


def _message(record: Record, text: str) -> bool:
    record.body = text
    return True


def _level(record: Record, text: str) -> bool:
    record.severity_text, record.severity_number = text, SEVERITIES.get(text, 0)
    return True


def _logger(record: Record, text: str) -> bool:
    record.logger = text
    return True


def _trace(record: Record, text: str) -> bool:
    record.trace_id = _id(text, 32)
    return record.trace_id != b""


def _span(record: Record, text: str) -> bool:
    record.span_id = _id(text, 16)
    return record.span_id != b""


_TAKEN: Final = {
    "@timestamp": _time,
    "event.created": _observed,
    "message": _message,
    "log.level": _level,
    "log.logger": _logger,
    "trace.id": _trace,
    "span.id": _span,
}

_PLACES: Final = frozenset({*_TAKEN, *RESOURCE, *ATTRIBUTES})


def _id(text: str, digits: int) -> bytes:
    """The bytes of an id in lower-case hexadecimal of this length; none if it is another, or all zeros, which means
    that there is none."""
    if len(text) != digits or not set(text) <= set("0123456789abcdef"):
        return b""
    data = bytes.fromhex(text)
    return data if any(data) else b""
