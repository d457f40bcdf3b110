"""How a preset is written: forms of lines, whose groups say by their names where their text goes.

A ``Form`` is a regular expression for a whole line, or for a whole part of one. The expressions go through the
standard library's engine and are linear by construction: what repeats is bounded or followed by what it cannot match
itself, and nothing that repeats holds anything that repeats without bound.

Groups: ``time`` (any usual form), ``time_<name>`` (in a form of ``FORMATS``), ``metric_<name>`` (a number, into
``ml.metrics``) or ``metric`` and ``value`` (the metric's name is in the line), ``client`` (an address, or a name),
``quoted`` (the message, as it stands between the quotes of a JSON string), a name of ``_PLACES``, or any other (a text,
into ``fields``). A text that is empty or ``-`` says nothing. Every record keeps its whole line.
"""

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from agent.processors.normalise.levels import level_of_name
from agent.processors.normalise.times import Moment, read_text
from agent.processors.normalise.tolerant import Record
from agent.processors.parse.formats import TimeFormat
from agent.processors.parse.parser import Way, keep_line, put_time
from agent.processors.parse.typed import Typed, integer, number
from agent.values import is_number, quote, unquote

FORMATS: Final = {
    "glog": TimeFormat("%m%d %H:%M:%S.%f"),
    "yearless": TimeFormat("%m-%d %H:%M:%S"),
    "epoch": TimeFormat("epoch"),
    "tornado": TimeFormat("%y%m%d %H:%M:%S"),
}
"""Forms of time that are none of the usual ones."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,16}m")


def _level(text: str) -> bytes:
    return quote(level_of_name(text) or text)


def _one(text: str) -> bytes:
    return b"[%b]" % quote(text)


def _unquoted(text: str) -> str:
    """What stands between the quotes of a JSON string; of what is none, the text with its quotes."""
    written = f'"{text}"'
    try:
        return unquote(written.encode())
    except ValueError:
        return written


_PLACES: Final[Mapping[str, tuple[str, Typed]]] = {
    "level": ("level", _level),
    "message": ("message", quote),
    "logger": ("logger", quote),
    "file": ("log.origin.file.name", quote),
    "lineno": ("log.origin.file.line", integer),
    "function": ("log.origin.function", quote),
    "process": ("process.name", quote),
    "pid": ("process.pid", integer),
    "thread": ("process.thread.name", quote),
    "tid": ("process.thread.id", integer),
    "client_port": ("client.port", integer),
    "user": ("user.name", quote),
    "user_agent": ("user_agent.original", quote),
    "method": ("http.request.method", quote),
    "path": ("url.path", quote),
    "query": ("url.query", quote),
    "http": ("http.version", quote),
    "status": ("http.response.status_code", integer),
    "request_bytes": ("http.request.body.bytes", integer),
    "response_bytes": ("http.response.body.bytes", integer),
    "duration_ms": ("duration_ms", number),
    "duration_s": ("duration_s", number),
    "trace_id": ("trace.id", quote),
    "span_id": ("span.id", quote),
    "service": ("service.name", quote),
    "request_id": ("ml.inference.id", quote),
    "model": ("ml.model.name", quote),
    "model_version": ("ml.model.version", quote),
    "finish_reason": ("gen_ai.response.finish_reasons", _one),
}
"""Names of groups: the key each stands for, and what its text is."""


class Form(NamedTuple):
    """One way a line, or a part of one, is written. ``says`` are keys and texts that go with it."""

    match: Callable[[str], re.Match[str] | None]
    says: Record


def form(pattern: str, **says: str) -> Form:
    """A form from its expression, which has to match the whole text. Underlines in the names of ``says`` are dots."""
    match = re.compile(pattern, re.DOTALL | re.ASCII).fullmatch
    return Form(match, {key.replace("_", "."): quote(text) for key, text in says.items()})


class Preset(NamedTuple):
    """Forms of lines, tried in turn; ``within`` forms of parts, by the group that holds the part: the first that
    matches adds what it finds."""

    lines: Sequence[Form]
    within: Mapping[str, Sequence[Form]] = {}

    def way(self, zone: tzinfo | None) -> Way:
        """The preset at work. ``zone`` is that of times without one."""
        return _Work(self, zone)


class _Work:
    def __init__(self, preset: Preset, zone: tzinfo | None) -> None:
        self._preset = preset
        self._zone = zone
        self._read_time = lru_cache(maxsize=64)(lambda text: read_text(text, zone))

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        plain = _COLOUR.sub("", text) if "\x1b[" in text else text
        parts, said = _first(self._preset.lines, plain)
        if parts is None:
            return None
        quoted = parts.pop("quoted", None)
        if quoted is not None:
            parts["message"] = _unquoted(quoted)
        record: Record = dict(said)
        metrics: dict[str, bytes] = {}
        self._take(parts, record, metrics, read_at_ns)
        for group, forms in self._preset.within.items():
            if part := parts.get(group):
                more, said = _first(forms, part)
                if more is not None:
                    record.update(said)
                    self._take(more, record, metrics, read_at_ns)
        if metrics:
            record["ml.metrics"] = b"{%b}" % b",".join(
                b"%b:%b" % (quote(name), value) for name, value in metrics.items()
            )
        keep_line(record, text)
        return record

    def _take(
        self, parts: Mapping[str, str | None], record: Record, metrics: dict[str, bytes], read_at_ns: int
    ) -> None:
        for group, text in parts.items():
            if not text or text == "-":
                continue
            kind, _, name = group.partition("_")
            if kind == "time":
                moment = self._moment(name, text, read_at_ns)
                if moment:
                    put_time(record, moment)
            elif name and kind == "metric":
                _measure(metrics, name, text)
            elif group == "metric":
                _measure(metrics, text, parts["value"] or "")
            elif group == "value":
                continue
            elif group == "client":
                key, text = ("client.ip", text.strip("[]")) if _is_ip(text.strip("[]")) else ("client", text)
                record[key] = quote(text)
            else:
                key, typed = _PLACES.get(group) or (group, quote)
                record[key] = typed(text)

    def _moment(self, name: str, text: str, read_at_ns: int) -> Moment | None:
        if not name:
            return self._read_time(text)
        return FORMATS[name].read(text, self._zone, read_at_ns)


def _measure(metrics: dict[str, bytes], name: str, text: str) -> None:
    value = number(text)
    if is_number(value):
        metrics[name] = value


def _first(forms: Sequence[Form], text: str) -> tuple[dict[str, str | None] | None, Record]:
    """The parts of the first form that matches, and what it says."""
    for match, says in forms:
        if found := match(text):
            return found.groupdict(), says
    return None, {}


@lru_cache(maxsize=256)
def _is_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, UnicodeError):
            continue
        return True
    return False
