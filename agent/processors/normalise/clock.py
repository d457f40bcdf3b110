"""Reading times where they stand in a record: one value, or a column of them."""

import re
from datetime import UTC, tzinfo
from typing import Final

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.processors.normalise.times import CANONICAL, LAST_SECOND, Moment, read_number, read_text, second
from agent.values import Column, is_number, is_string, quote, unquote

ASSUMED: Final = b'"assumed"'
READ: Final = b'"read"'

_canonical: Final = re.compile(f'"{CANONICAL}"'.encode()).fullmatch
# The possessive repeat keeps no way back: a column costs no more memory than its text.
_all_canonical: Final = re.compile(rf'(?:"{CANONICAL}"\n)*+'.encode()).fullmatch
# The two usual dialects: a space or a comma where the canonical form has T or a point, and no zone.
_dialect: Final = re.compile(rb'"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(Z|[+-]\d\d:\d\d)?"').fullmatch
# Seconds since 1970 with a fraction, or milli-, micro- or nanoseconds: ten digits are the seconds from 2001 on.
_all_seconds: Final = re.compile(rb"(?:[1-9]\d{9}(?:\.\d{1,9})?\n)*+").fullmatch
_all_units: Final = re.compile(rb"(?:[1-9]\d{9}(?:\d{3}|\d{6}|\d{9})\n)*+").fullmatch
_SHAPE: Final = bytes.maketrans(b"123456789", b"000000000")
_HOUR: Final = len('"2026-11-22T10')
_MINUTE: Final = len('"2026-11-22T10:')
_SECOND: Final = len('"2026-11-22T10:00:')
_ZONE: Final = len('+01:00"')


class TimeReader:
    """Reads ``@timestamp``. ``zone`` is what a time without a zone is in, and ``labels.timezone`` then says so."""

    places = ("@timestamp", "labels.timezone")

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone

    def read(self, value: bytes) -> Reading | None:
        """The time; exact if it was written in the canonical form."""
        moment = read_text(unquote(value), self._zone) if is_string(value) else read_number(value.decode())
        return moment and reading_of(moment)

    def read_column(self, column: Column) -> ColumnReading | None:
        """All of them in the canonical form, all in the same usual dialect of it, or all numbers of one unit."""
        times = b"\n".join(column) + b"\n"
        first = times[: times.index(b"\n")]
        if is_number(first):
            return _numbers(times)
        if _canonical(first):
            if not (_of_one_hour(times, first, len(column)) or _all_canonical(times)):
                return None
            return ColumnReading(("@timestamp",), (column,), exact=True)
        found = _dialect(first)
        if not found or not _of_one_shape(times, first, len(column)) or not (found[1] or self._zone is UTC):
            return None
        times = times.replace(b" ", b"T").replace(b",", b".")
        if not found[1]:
            times = times.replace(b'"\n', b'Z"\n')
        first = times[: times.index(b"\n")]
        if not _canonical(first) or not (_of_one_hour(times, first, len(column)) or _all_canonical(times)):
            return None
        rewritten = times[:-1].split(b"\n")
        if found[1]:
            return ColumnReading(("@timestamp",), (rewritten,), exact=False)
        return ColumnReading(self.places, (rewritten, [ASSUMED] * len(column)), exact=False)


def _numbers(times: bytes) -> ColumnReading | None:
    """Lines of seconds, or of one of the smaller units, since 1970."""
    point = "" if _all_seconds(times) else "." if _all_units(times) else None
    numbers = times.decode().split("\n")[:-1]
    if point is None or max(numbers)[:10] >= str(LAST_SECOND):
        return None
    texts = [f'"{second(int(number[:10]))}{point}{number[10:]}Z"'.encode() for number in numbers]
    return ColumnReading(("@timestamp",), (texts,), exact=False)


def _of_one_shape(times: bytes, first: bytes, count: int) -> bool:
    """Whether every line is like the first in everything but its digits."""
    return times.translate(_SHAPE) == (first.translate(_SHAPE) + b"\n") * count


def _of_one_hour(times: bytes, first: bytes, count: int) -> bool:
    """Whether every line is a canonical time of the same hour and zone as the first, which is one.

    It costs a third of the expression, and most batches lie within an hour. Where date, hour and zone are the
    first's, only minutes and seconds are left that could be out of range.
    """
    width = len(first) + 1
    return (
        _of_one_shape(times, first, count)
        and times.count(b"\n" + first[:_HOUR]) == count - 1
        and not times[_MINUTE::width].translate(None, b"012345")
        and not times[_SECOND::width].translate(None, b"012345")
        and (first.endswith(b'Z"') or times.count(first[-_ZONE:] + b"\n") == count)
    )


def reading_of(moment: Moment) -> Reading:
    """A time as the places it fills."""
    filled: tuple[tuple[str, bytes], ...] = (("@timestamp", quote(moment.text)),)
    if moment.assumed:
        filled += (("labels.timezone", ASSUMED),)
    return Reading(filled, moment.exact)
