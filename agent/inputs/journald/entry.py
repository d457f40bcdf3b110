"""One entry of the journal, as ``journalctl --output=json`` writes it, taken apart.

Source: systemd's ``docs/JOURNAL_EXPORT_FORMATS.md`` ("Journal JSON Format") and ``systemd.journal-fields(7)``. Every
value is a string; one with bytes that are no printable UTF-8 is an array of numbers, a field that is there more than
once an array of such values.

The message is read like any line. What the journal says of it fills places only where the message says nothing itself:

================================================== ===============================
``_SOURCE_REALTIME_TIMESTAMP``, else               ``@timestamp``
``__REALTIME_TIMESTAMP`` (microseconds since 1970)
``PRIORITY``                                       ``log.level``, ``event.severity``, ``log.syslog.severity.code``
``SYSLOG_FACILITY``, ``_HOSTNAME``                 ``log.syslog.facility.code``, ``log.syslog.hostname``
``SYSLOG_IDENTIFIER``, else ``_COMM``              ``process.name``
``_PID``, else ``SYSLOG_PID``                      ``process.pid``
``TID``, ``_CMDLINE``, ``_UID``                    ``process.thread.id``, ``process.command_line``, ``user.id``
``CODE_FILE``, ``CODE_LINE``, ``CODE_FUNC``        ``log.origin.*``
``ERRNO``                                          ``error.code``
``CONTAINER_NAME``, ``CONTAINER_ID_FULL``          ``container.name``, ``container.id``
================================================== ===============================

All else that the writer gave, and ``KEPT`` of what journald added, goes to ``fields.<NAME>``. The journal may be
another machine's, so ``host.name`` stays the agent's.
"""

import re
from typing import Final, NamedTuple

import msgspec

from agent.processors.normalise.levels import SEVERITY, level_of_number
from agent.processors.normalise.times import LAST_SECOND, second
from agent.processors.normalise.tolerant import Record, decode
from agent.values import quote, unquote

KEPT: Final = frozenset(("_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "_TRANSPORT", "_BOOT_ID", "_MACHINE_ID"))

_WORDS: Final = {
    "SYSLOG_IDENTIFIER": "process.name",
    "_CMDLINE": "process.command_line",
    "_UID": "user.id",
    "_HOSTNAME": "log.syslog.hostname",
    "CODE_FILE": "log.origin.file.name",
    "CODE_FUNC": "log.origin.function",
    "ERRNO": "error.code",
    "CONTAINER_NAME": "container.name",
    "CONTAINER_ID_FULL": "container.id",
}
_NUMBERS: Final = {
    "_PID": "process.pid",
    "TID": "process.thread.id",
    "CODE_LINE": "log.origin.file.line",
    "SYSLOG_FACILITY": "log.syslog.facility.code",
}
_PRIORITIES: Final = {
    b'"%d"' % number: {
        "log.level": quote(level),
        "event.severity": b"%d" % SEVERITY[level],
        "log.syslog.severity.code": b"%d" % number,
    }
    for number in range(8)
    if (level := level_of_number(number, "syslog"))
}
_MARKS: Final = b"\xef\xbb\xbf\x00 \t\r\n"

_number: Final = re.compile(rb'"(0|[1-9]\d{0,17})"').fullmatch
_microseconds: Final = re.compile(rb'"(\d{1,10})(\d{6})"').fullmatch
_cursor: Final = re.compile(rb'[{,]"__CURSOR":"([^"\\]+)"').search
_bytes: Final = msgspec.json.Decoder(list[int]).decode
_values: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Entry(NamedTuple):
    """``line`` is the message; an entry without one is an empty object. ``size``: bytes of the message as it was
    written. ``places``: what the journal says of it, as JSON text."""

    cursor: str
    line: bytes
    size: int
    places: dict[str, bytes]


def read_entry(line: bytes) -> Entry:
    """Take an entry apart. Raises ``ValueError`` for what journalctl does not write."""
    try:
        fields = decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not an entry: {error}") from None
    cursor = bytes(fields.pop("__CURSOR", b""))
    if not cursor.startswith(b'"'):
        raise ValueError("an entry without a cursor")
    message = _message(fields)
    return Entry(unquote(cursor), b"{}" if message is None else one_line(message), len(message or b""), _places(fields))


def cursor_in(part: bytes) -> str | None:
    """The cursor of an entry of which only a part is there, if it is in it."""
    found = _cursor(part)
    return found[1].decode() if found else None


def one_line(message: bytes) -> bytes:
    """The message in a form that is read as one record: text may hold newlines, an object must not."""
    if b"\n" not in message or not message.lstrip(_MARKS).startswith(b"{"):
        return message
    try:
        return msgspec.json.format(message, indent=-1)
    except (msgspec.DecodeError, RecursionError):
        return b'{"message":%b}' % quote(message.decode(errors="replace"))


def _message(fields: Record) -> bytes | None:
    """The message's bytes. If there are several the first is taken, and all of them stay in a field."""
    value = bytes(fields.get("MESSAGE", b"null"))
    found = _data(value)
    if found is None and value.startswith(b"["):
        values = _values(value)
        return _data(bytes(values[0])) if values else None
    fields.pop("MESSAGE", None)
    return found


def _data(value: bytes) -> bytes | None:
    """The bytes a single value stands for; None if it is none."""
    if value.startswith(b'"'):
        return unquote(value).encode("utf-8", "surrogatepass")
    try:
        return bytes(_bytes(value))
    except (msgspec.DecodeError, ValueError):
        return None


def _places(fields: Record) -> dict[str, bytes]:
    places: dict[str, bytes] = {}
    written = _time(fields.pop("_SOURCE_REALTIME_TIMESTAMP", b""))
    taken = _time(fields.pop("__REALTIME_TIMESTAMP", b""))
    if time := written or taken:
        places["@timestamp"] = time
    command = _readable(bytes(fields.pop("_COMM", b"")))
    if (priority := _PRIORITIES.get(bytes(fields.get("PRIORITY", b"")))) is not None:
        places |= priority
        del fields["PRIORITY"]
    if "_PID" not in fields and (pid := _number(bytes(fields.get("SYSLOG_PID", b"")))):
        places["process.pid"] = pid[1]
        del fields["SYSLOG_PID"]
    for name, raw in fields.items():
        if name in _WORDS:
            value = _readable(bytes(raw))
            if value.startswith(b'"'):
                places[_WORDS[name]] = value
                continue
        elif name in _NUMBERS:
            value = bytes(raw)
            if number := _number(value):
                places[_NUMBERS[name]] = number[1]
                continue
        elif name in KEPT or not name.startswith("_"):
            value = _readable(bytes(raw))
        else:
            continue
        places["fields." + name] = value
    if command.startswith(b'"'):
        places.setdefault("process.name", command)
    return places


def _time(value: bytes | msgspec.Raw) -> bytes | None:
    found = _microseconds(bytes(value))
    if not found or int(found[1]) >= LAST_SECOND:
        return None
    return b'"%b.%bZ"' % (second(int(found[1])).encode(), found[2])


def _readable(value: bytes) -> bytes:
    """A value that journalctl took for binary (an escape is enough for that) as text, if it is text."""
    if not value.startswith(b"["):
        return value
    data = _data(value)
    if data is None:
        return value
    try:
        return quote(data.decode())
    except UnicodeDecodeError:
        return value
