"""Levels: every usual spelling and number onto ``debug info warning error critical``, and ``event.severity`` 10 to 50.

Numbers mean what their writer's library means by them: 10 to 50 are the standard library's, and whatever lies between
belongs to the level below it (loguru's SUCCESS, 25, is info); under ``severity`` 0 to 7 are syslog's (RFC 5424,
section 6.2.1); under ``severity_number`` 1 to 24 are OpenTelemetry's (logs data model, "Field: SeverityNumber").
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.values import Column, is_long, is_string, quote, unquote

Level = Literal["debug", "info", "warning", "error", "critical"]
Scale = Literal["stdlib", "syslog", "otel"]

SEVERITY: Final[Mapping[Level, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_SPELLINGS: Final[Mapping[Level, str]] = {
    "debug": "debug dbg trace verbose fine finer finest d t v",
    "info": "info inf information informational notice success i n",
    "warning": "warning warn wrn w",
    "error": "error err failure severe exception e",
    "critical": "critical crit fatal panic dpanic alert emergency emerg c f",
}
_NAMES: Final[dict[str, Level]] = {name: level for level, names in _SPELLINGS.items() for name in names.split()}
_SYSLOG: Final[tuple[Level, ...]] = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_OTEL: Final[tuple[Level, ...]] = ("debug", "debug", "info", "warning", "error", "critical")
_NUMBER: Final = re.compile(r"(?:level )?(\d{1,3})", re.ASCII).fullmatch


def level_of_name(name: str) -> Level | None:
    """The level a word stands for, in any case."""
    return _NAMES.get(name.strip().lower())


def level_of_number(number: int, scale: Scale = "stdlib") -> Level | None:
    """The level a number stands for."""
    if scale == "syslog" and 0 <= number <= 7:
        return _SYSLOG[number]
    if scale == "otel":
        return _OTEL[(number - 1) // 4] if 1 <= number <= 24 else None
    if not 1 <= number <= 100:
        return None
    return next((level for level, severity in reversed([*SEVERITY.items()]) if number >= severity), "debug")


# The five names in capitals and small letters are taken for one another; any other spelling is kept beside the level.
_EXACT: Final = {quote(spelt): level for level in SEVERITY for spelt in (level, level.upper())}
_EXACT_LEVEL: Final = {spelt: quote(level) for spelt, level in _EXACT.items()}
_EXACT_SEVERITY: Final = {spelt: b"%d" % SEVERITY[level] for spelt, level in _EXACT.items()}


class LevelReader:
    """Reads a level written as a name or a number. ``scale`` says whose numbers the key holds."""

    places = ("log.level", "event.severity")

    def __init__(self, scale: Scale = "stdlib") -> None:
        self._scale: Scale = scale

    def read(self, value: bytes) -> Reading | None:
        """The level and its number; exact only for the five names themselves."""
        level = _EXACT.get(value) or self._level(value)
        if level is None:
            return None
        return Reading(
            (("log.level", quote(level)), ("event.severity", b"%d" % SEVERITY[level])), exact=value in _EXACT
        )

    def read_column(self, column: Column) -> ColumnReading | None:
        """All of them the five names."""
        written = b"\n".join(column).split(b"\n")
        try:
            levels = list(map(_EXACT_LEVEL.__getitem__, written))
        except KeyError:
            return None
        return ColumnReading(self.places, (levels, list(map(_EXACT_SEVERITY.__getitem__, written))), exact=True)

    def _level(self, value: bytes) -> Level | None:
        if is_string(value) and len(value) <= 64:
            name = unquote(value).strip().lower()
            number = _NUMBER(name)
            return level_of_number(int(number[1]), self._scale) if number else level_of_name(name)
        if is_long(value):
            return level_of_number(int(value), self._scale)
        return None
