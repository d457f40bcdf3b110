"""Numbers as people write them: sizes, durations, switches; and back into text for messages and the reference.

Every function takes the whole text of a value and raises ``ValueError`` with the end of a sentence that begins "must
be".
"""

import re
from decimal import Decimal

_NUMBER = r"([0-9]{1,19}(?:\.[0-9]{1,9})?)"
_SIZE = re.compile(rf"{_NUMBER}\s*([A-Za-z]*)")
_DURATION = re.compile(rf"{_NUMBER}\s*([A-Za-zµ]*)")
_INTEGER = re.compile(r"[+-]?[0-9](?:_?[0-9]){0,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")

_SIZES = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE_LIMIT = 2**60
_DURATIONS = {
    "us": "0.000001",
    "µs": "0.000001",
    "ms": "0.001",
    "": "1",
    "s": "1",
    "m": "60",
    "min": "60",
    "h": "3600",
    "d": "86400",
    "w": "604800",
}
_DURATION_LIMIT = 100 * 365 * 86400
SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def size(text: str) -> int:
    """Bytes. ``KB`` and ``MB`` are powers of 1000, ``KiB`` and ``MiB`` powers of 1024; a fraction must come out as
    whole bytes."""
    expected = "a size, such as `64MiB` or `1.5 GB` (without a unit: bytes)"
    found = _SIZE.fullmatch(text.strip())
    unit = _known_unit(found[2], _SIZES) if found else None
    if found is None or unit is None:
        raise ValueError(expected)
    value = Decimal(found[1]) * _SIZES[unit]
    if value != value.to_integral_value() or value > _SIZE_LIMIT:
        raise ValueError("a whole number of bytes, at most 1 EiB")
    return int(value)


def duration(text: str) -> float:
    """Seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or found[2] not in _DURATIONS:
        raise ValueError("a duration, such as `100ms`, `5s`, `15m`, `1.5h` or `7d` (without a unit: seconds)")
    value = Decimal(found[1]) * Decimal(_DURATIONS[found[2]])
    if value > _DURATION_LIMIT:
        raise ValueError("a duration of at most 100 years")
    return float(value)


def integer(text: str) -> int:
    """A whole number, underscores between digits allowed."""
    if not _INTEGER.fullmatch(text.strip()):
        raise ValueError("a whole number")
    return int(text)


def decimal(text: str) -> float:
    """A number. Neither ``nan`` nor infinity."""
    if not _DECIMAL.fullmatch(text.strip()) or abs(value := float(text)) == float("inf"):
        raise ValueError("a number")
    return value


def switch(text: str) -> bool:
    """``true``, ``yes`` and ``on``, or ``false``, ``no`` and ``off``, in any case."""
    value = SWITCHES.get(text.strip().casefold())
    if value is None:
        raise ValueError("`true` or `false`")
    return value


def show_size(value: float) -> str:
    """A size with the largest unit that leaves a whole number: ``64MiB``, ``1000``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value and value % _SIZES[unit] == 0:
            return f"{int(value) // _SIZES[unit]}{unit}"
    return f"{int(value)}"


def show_duration(value: float) -> str:
    """A duration with the largest unit that leaves a short number: ``100ms``, ``5s``, ``30d``."""
    millis = round(value * 1000)
    if millis == 0:
        return "0s"
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis % length == 0:
            return f"{millis // length}{unit}"
    return f"{millis}ms"


def _known_unit(text: str, units: dict[str, int]) -> str | None:
    """Sizes are written in every case; ``mb`` is taken as ``MB``, since nobody means bits here."""
    folded = {unit.casefold(): unit for unit in units}
    return folded.get(text.casefold())
