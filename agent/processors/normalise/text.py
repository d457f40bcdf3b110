"""Lines that are no JSON object: their message, and level, logger and time where a usual format is seen.

=================== ===============================================================================
standard library    ``asctime - name - level - message``, ``asctime - level - message``,
                    ``LEVEL:name:message``; and the many ``asctime LEVEL message``, with or without
                    brackets around the time or the level (Flask, gunicorn, KServe, BentoML, TorchServe)
uvicorn             ``INFO:     message``
loguru              ``time | LEVEL | module:function:line - message``
vLLM                ``INFO 11-22 10:00:00 [file.py:7] message``: a time without a year is none
Triton              ``I1122 10:00:00.123456 1 server.cc:592] message``: likewise
=================== ===============================================================================
"""

import re
from collections.abc import Iterator
from datetime import tzinfo
from typing import Final

from agent.processors.normalise.clock import READ, reading_of
from agent.processors.normalise.levels import SEVERITY, level_of_name
from agent.processors.normalise.times import read_text
from agent.values import quote

_TIME: Final = r"(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)"
_LEVEL: Final = r"(?P<level>[A-Z]{4,12})"
_NAME: Final = r"[^:|\s]{1,256}"
_REST: Final = r"(?P<message>.*)"


def _formats(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.DOTALL | re.ASCII) for pattern in patterns)


_BEGIN_WITH_TIME: Final = _formats(
    rf"{_TIME} \| {_LEVEL} *\| (?P<logger>{_NAME}):(?P<function>{_NAME}):(?P<lineno>\d{{1,9}}) - {_REST}",
    rf"{_TIME} - (?P<logger>\S{{1,256}}) - {_LEVEL} - {_REST}",
    rf"{_TIME} - {_LEVEL} - {_REST}",
    rf"\[?{_TIME}\]?,? +[\[(]?{_LEVEL} *[\])]?:? +{_REST}",
)
_BEGIN_WITH_LEVEL: Final = _formats(
    rf"{_LEVEL}: +{_REST}",
    rf"{_LEVEL}:(?P<logger>{_NAME}):{_REST}",
    rf"{_LEVEL} +\d\d-\d\d \d\d:\d\d:\d\d {_REST}",
    rf"(?P<level>[DIWEF])\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}} +\d+ {_REST}",
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,16}m")

FAILED: Final = b'"failed"'


def read_line(line: str, zone: tzinfo | None, read_at: bytes) -> dict[str, bytes]:
    """The places a line of text fills. Where parts were recognised, ``fields.line`` is the whole line: it cannot be
    rebuilt from them."""
    places: dict[str, bytes] = {}
    for place, value in _recognised(line, zone):
        places[place] = value
    if places:
        places["fields.line"] = quote(line)
    else:
        places["message"] = quote(line)
    if "@timestamp" not in places:
        places["@timestamp"] = read_at
        places["labels.timestamp"] = READ
    return places


def unparsed(line: str, read_at: bytes) -> dict[str, bytes]:
    """The places of a line that begins as a JSON object and is none."""
    return {"message": quote(line), "labels.parse": FAILED, "@timestamp": read_at, "labels.timestamp": READ}


def _recognised(line: str, zone: tzinfo | None) -> Iterator[tuple[str, bytes]]:
    plain = _COLOUR.sub("", line) if "\x1b[" in line else line
    for pattern in _BEGIN_WITH_LEVEL if "A" <= plain[:1] <= "Z" else _BEGIN_WITH_TIME:
        found = pattern.fullmatch(plain)
        level = level_of_name(found["level"]) if found else None
        if found and level:
            break
    else:
        return
    part = found.groupdict()
    yield "message", quote(part["message"])
    yield "log.level", quote(level)
    yield "event.severity", b"%d" % SEVERITY[level]
    if "logger" in part:
        yield "log.logger", quote(part["logger"])
    if "function" in part:
        yield "log.origin.function", quote(part["function"])
        yield "log.origin.file.line", b"%d" % int(part["lineno"])
    if "time" in part and (moment := read_text(part["time"], zone)):
        yield from reading_of(moment).filled
