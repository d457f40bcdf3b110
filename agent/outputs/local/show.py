"""A record as a person reads it: one line for what happened, a dim one for the payloads.

::

    2026-11-22 10:00:00.123 ERROR    fraud-scorer/3.2.0 scorer.predict: score out of range
        outputs label=ok score=0.059111 | metrics confidence=0.5655 | took 37.9 ms | id a6a3a450

What a record says is never obeyed: control characters, which could drive the terminal, are shown as escapes.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec

from agent.query.match import Inner, Object, decode_object, text_of, values

MAX_VALUE_CHARS: Final = 60
MAX_VALUES: Final = 8
MAX_DETAIL_CHARS: Final = 400
MAX_MESSAGE_CHARS: Final = 4000

_COLORS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_DIM: Final = "2"
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_INDENT: Final = "    "
_PAYLOADS: Final = (
    ("error", "error"),
    ("outputs", "ml.outputs"),
    ("metrics", "ml.metrics"),
    ("inputs", "ml.inputs"),
    ("fields", "fields"),
)
_DURATIONS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


def show(document: bytes, time_us: int, *, color: bool, zone: tzinfo | None = None, width: int | None = None) -> str:
    """One or two lines, each ended by a newline. ``zone`` None is the local one; ``width`` cuts the second line."""
    try:
        top = decode_object(document)
        inner: Inner = {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return safe(document.decode(errors="replace")[:MAX_MESSAGE_CHARS]) + "\n"
    level = _text("log.level", top, inner) or "-"
    when = (
        datetime.fromtimestamp(time_us / 1_000_000, UTC).astimezone(zone).isoformat(" ", "milliseconds")[:23]
        if time_us
        else "-"
    )
    who = (
        "/".join(filter(None, (_text("ml.model.name", top, inner), _text("ml.model.version", top, inner))))
        or _text("service.name", top, inner)
        or "-"
    )
    logger = _text("log.logger", top, inner)
    message = safe(_cut(_text("message", top, inner) or "", MAX_MESSAGE_CHARS))
    head = _paint(f"{safe(level).upper():<8}", _COLORS.get(level, ""), color)
    where = f"{safe(who)} {safe(logger)}:" if logger else f"{safe(who)}:"
    line = f"{_paint(when, _DIM, color)} {head} {where} {message}".rstrip() + "\n"
    detail = " | ".join(_details(top, inner))
    if detail:
        line += _paint(_cut(_INDENT + detail, min(width or MAX_DETAIL_CHARS, MAX_DETAIL_CHARS)), _DIM, color) + "\n"
    return line


def safe(text: str) -> str:
    """Text that moves no cursor: line ends and other control characters as escapes."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or f"\\x{ord(character):02x}"


def _details(top: Object, inner: Inner) -> list[str]:
    """The payloads, in the order people ask for them, then duration and id."""
    details = []
    for name, place in _PAYLOADS:
        pairs = _pairs(place, top, inner)
        if pairs:
            details.append(f"{name} {pairs}")
    duration = next(values("event.duration", top, inner), b"")
    if duration.isdigit() and len(duration) < 20:
        details.append(f"took {_duration(int(duration))}")
    request = _text("ml.inference.id", top, inner)
    if request:
        details.append(f"id {safe(request)}")
    return details


def _pairs(place: str, top: Object, inner: Inner) -> str:
    for value in values(place, top, inner):
        try:
            items = decode_object(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        shown = [
            f"{safe(_cut(name, MAX_VALUE_CHARS))}={_value(bytes(item))}"
            for name, item in list(items.items())[:MAX_VALUES]
        ]
        more = [f"(+{len(items) - MAX_VALUES})"] if len(items) > MAX_VALUES else []
        return " ".join(shown + more)
    return ""


def _value(value: bytes) -> str:
    text = text_of(value)
    return safe(_cut(value.decode(errors="replace") if text is None else text, MAX_VALUE_CHARS))


def _text(place: str, top: Object, inner: Inner) -> str | None:
    for value in values(place, top, inner):
        text = text_of(value)
        if text is not None:
            return text
    return None


def _duration(nanos: int) -> str:
    for factor, unit in _DURATIONS:
        if nanos >= factor:
            return f"{nanos / factor:.3g} {unit}" if nanos < 1000 * factor else f"{nanos // factor} {unit}"
    return f"{nanos} ns"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _paint(text: str, code: str, color: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if color and code else text
