"""From a log record of OpenTelemetry to a line: one object of compact JSON whose keys are places, or names that the
normaliser knows.

Values keep what was said: integers and times to the last digit, doubles in their shortest exact form, bytes as base64,
``NaN`` for the normaliser to mark. What has no place of its own goes by its own name, so that it ends under ``fields``:
a resource's attributes behind ``resource.``, a scope's behind ``scope.``. Where two things claim a key, the second is
kept behind where it comes from (``attributes.message``).

Names: OpenTelemetry's semantic conventions 1.37, and those they replaced that SDKs still send.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from agent.processors.normalise.times import LAST_SECOND, second
from agent.values import quote

Members = Iterable[tuple[str, bytes]]
"""Attributes, or the members of a map: names and JSON texts."""

ATTRIBUTES: Final = {
    "exception.type": "error.type",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
    "code.file.path": "log.origin.file.name",
    "code.filepath": "log.origin.file.name",
    "code.line.number": "log.origin.file.line",
    "code.lineno": "log.origin.file.line",
    "code.function.name": "log.origin.function",
    "code.function": "log.origin.function",
    "thread.id": "process.thread.id",
    "thread.name": "process.thread.name",
    "http.method": "http.request.method",
    "http.status_code": "http.response.status_code",
    "http.target": "url.original",
    "enduser.id": "user.id",
    "event.name": "event.action",
}
RESOURCE: Final = {
    "service.name": "service.name",
    "service.version": "service.version",
    "service.instance.id": "service.node.name",
    "deployment.environment.name": "service.environment",
    "deployment.environment": "service.environment",
    "process.pid": "process.pid",
    "process.executable.name": "process.name",
}
_SECOND_NS: Final = 1_000_000_000
_REMEMBERED_KEYS: Final = 4096
_NO_TRACE: Final = {"", "0" * 32, "0" * 16}


class _Keys(dict[str, bytes]):
    """A key's JSON text and the colon, remembered: SDKs send the same few."""

    def __missing__(self, name: str) -> bytes:
        if len(self) >= _REMEMBERED_KEYS:
            self.clear()
        text = self[name] = quote(name) + b":"
        return text


_keys: Final = _Keys()


class Common(msgspec.Struct):
    """What the records of one scope have in common: JSON texts by key, the keys they take where a record has one of
    that name itself, and all of it as the end of a line."""

    members: dict[str, bytes]
    instead: dict[str, str]
    text: bytes = b""


class LogRecord(msgspec.Struct):
    """A record as both encodings give it. Times are nanoseconds since 1970, 0 if unknown; ids lower-case hex. ``body``
    is the JSON text of what is no map, ``body_members`` a map's members."""

    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: bytes | None
    body_members: Members
    attributes: Members
    trace_id: str
    span_id: str
    flags: int
    event_name: str
    dropped_attributes: int


def common_of(resource: Members, scope_name: str, scope_version: str, scope: Members) -> Common:
    """What is said once for many records."""
    common = Common({}, {})

    def add(key: str, instead: str, value: bytes) -> None:
        if key in common.members:
            key = instead = _free(common.members, instead)
        common.members[key] = value
        common.instead[key] = instead

    for name, value in resource:
        add(RESOURCE.get(name, f"resource.{name}"), f"resource.{name}", value)
    if scope_name:
        add("log.logger", "scope.name", quote(scope_name))
    if scope_version:
        add("scope.version", "scope.version", quote(scope_version))
    for name, value in scope:
        add(f"scope.{name}", f"scope.{name}", value)
    common.text = b"".join([b"," + _keys[key] + value for key, value in common.members.items()])
    return common


def line_of(record: LogRecord, common: Common) -> bytes:
    """The record as one line."""
    members: dict[str, bytes] = {}
    time_ns = record.time_ns or record.observed_ns
    if time_ns:
        if time_ns < LAST_SECOND * _SECOND_NS:
            seconds, nanos = divmod(time_ns, _SECOND_NS)
            members["@timestamp"] = f'"{second(seconds)}.{nanos:09}Z"'.encode()
        else:
            members["time_unix_nano"] = b"%d" % time_ns
        if record.observed_ns != time_ns and record.observed_ns:
            members["observed_time_unix_nano"] = b"%d" % record.observed_ns
    if record.body is not None:
        members["message"] = record.body
    if record.severity_text:
        members["log.level"] = quote(record.severity_text)
    if record.severity_number:
        members["severity_number"] = b"%d" % record.severity_number
    if record.trace_id not in _NO_TRACE:
        members["trace.id"] = b'"%b"' % record.trace_id.encode()
    if record.span_id not in _NO_TRACE:
        members["span.id"] = b'"%b"' % record.span_id.encode()
    if record.flags:
        members["trace_flags"] = b"%d" % record.flags
    if record.event_name:
        members["event.action"] = quote(record.event_name)
    if record.dropped_attributes:
        members["dropped_attributes_count"] = b"%d" % record.dropped_attributes
    for name, value in record.body_members:
        members[name if name not in members else _free(members, f"body.{name}")] = value
    for name, value in record.attributes:
        key = ATTRIBUTES.get(name, name)
        members[key if key not in members else _free(members, f"attributes.{name}")] = value
    end = common.text if members else common.text[1:]
    if not common.members.keys().isdisjoint(members):
        end = b""
        for key, value in common.members.items():
            members[key if key not in members else _free(members, common.instead[key])] = value
    return b"{%b%b}" % (b",".join([_keys[name] + value for name, value in members.items()]), end)


def object_of(members: Members) -> bytes:
    """A map as a value."""
    return b"{%b}" % b",".join([_keys[name] + value for name, value in members])


def _free(members: dict[str, bytes], key: str) -> str:
    """A key that is not taken. The second choice is numbered by how many there are, so that looking is not long."""
    return key if key not in members else f"{key}#{len(members)}"
