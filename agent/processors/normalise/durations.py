"""Durations: ``latency_ms`` and its like become ``event.duration``, whole nanoseconds; what was written stays beside
it."""

from itertools import repeat
from operator import mul
from typing import Final

import msgspec

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.values import Column, is_number

_floats: Final = msgspec.json.Decoder(list[float])
_encode: Final = msgspec.json.Encoder().encode
MAX_NANOSECONDS: Final = 2.0**63


class DurationReader:
    """Reads a number of ``unit`` nanoseconds each. A negative one, one that does not fit 64 bits, and text do not
    fit."""

    places = ("event.duration",)

    def __init__(self, unit: int) -> None:
        self._unit = float(unit)

    def read(self, value: bytes) -> Reading | None:
        """The duration in nanoseconds, rounded; never exact."""
        nanoseconds = float(value) * self._unit if is_number(value) else -1.0
        if not 0 <= nanoseconds < MAX_NANOSECONDS:
            return None
        return Reading((("event.duration", b"%d" % round(nanoseconds)),), exact=False)

    def read_column(self, column: Column) -> ColumnReading | None:
        """All of them numbers that fit."""
        try:
            numbers = _floats.decode(b"[%b]" % b",".join(column))
        except msgspec.DecodeError:
            return None
        nanoseconds = list(map(mul, numbers, repeat(self._unit)))
        if len(numbers) != len(column) or min(numbers) < 0 or max(nanoseconds) >= MAX_NANOSECONDS:
            return None
        rounded = list(map(float.__round__, nanoseconds))
        return ColumnReading(self.places, (_encode(rounded)[1:-1].split(b","),), exact=False)
