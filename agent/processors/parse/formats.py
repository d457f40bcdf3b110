"""Time formats in the words of C's ``strptime``, and numbers since 1970 in a stated unit.

Understood are ``%Y %y %m %b %B %h %d %e %H %I %p %M %S %f %z %Z %a %A %F %T %R %D %%``; names of months are English
ones, ``%f`` takes any number of digits, ``%Z`` takes ``UTC``, ``GMT`` and ``Z``. White space stands for any.
Everything is checked as other times are (``normalise.times``): no 30 February, no ``24:00``.
"""

import re
from datetime import date, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final

from agent.processors.normalise.times import LAST_SECOND, MAX_CHARS, MONTHS, Moment, complete, second

_MONTH_NAME: Final = rf"(?P<mon>{'|'.join(MONTHS)})[a-z]{{0,6}}"
_DIRECTIVES: Final = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d?)",
    "b": _MONTH_NAME,
    "B": _MONTH_NAME,
    "h": _MONTH_NAME,
    "d": r"(?P<d> ?\d\d?)",
    "e": r"(?P<d> ?\d\d?)",
    "H": r"(?P<H>\d\d?)",
    "I": r"(?P<I>\d\d?)",
    "p": r"(?P<p>[AaPp][Mm])",
    "M": r"(?P<M>\d\d?)",
    "S": r"(?P<S>\d\d?)",
    "f": r"(?P<f>\d{1,30})",
    "z": r"(?P<z>[Zz]|[+-]\d\d(?::?\d\d)?)",
    "Z": r"(?P<z>UTC|GMT|Z)",
    "a": r"[A-Za-z]{2,9}",
    "A": r"[A-Za-z]{2,9}",
    "%": "%",
}
_SAME: Final = {"mon": "m", "y": "Y", "I": "H"}
_TOGETHER: Final = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
_EPOCHS: Final = {"epoch": 0, "epoch_ms": 3, "epoch_us": 6, "epoch_ns": 9}
_number: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII).fullmatch
_NS_PER_DAY: Final = 86_400_000_000_000
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()


class TimeFormat:
    """One way to write a time. Raises ``ValueError``, with a sentence for the operator, for one that is none."""

    def __init__(self, text: str) -> None:
        self._unit = _EPOCHS.get(text)
        if self._unit is None:
            self._match = re.compile(_expression(text), re.ASCII | re.IGNORECASE).fullmatch

    def read(self, text: str, zone: tzinfo | None, read_at_ns: int) -> Moment | None:
        """The time a text stands for, None if it is not written so. ``zone`` is that of one without a zone;
        ``read_at_ns`` says which year is the nearest."""
        if len(text) > MAX_CHARS:
            return None
        if self._unit is not None:
            return _since_1970(text, self._unit)
        found = self._match(text)
        if not found:
            return None
        part = found.groupdict()
        month = part.get("m") or MONTHS[part["mon"].title()]
        day = part["d"].strip()
        hour = _hour(part)
        if hour is None:
            return None
        year = part.get("Y") or _century(part.get("y")) or nearest_year(int(month), int(day), read_at_ns)
        moment = f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{part.get('M') or '0':0>2}:{part.get('S') or '0':0>2}"
        return complete(moment, (part.get("f") or "")[:9], part.get("z"), zone)


def nearest_year(month: int, day: int, read_at_ns: int) -> str | None:
    """The year, of those around the time of reading, that brings a day nearest to it; the earlier one of two that are
    as near. None where there is no such day, as 29 February is not in most years."""
    return _nearest_year(month, day, read_at_ns // _NS_PER_DAY)


@lru_cache(maxsize=256)
def _nearest_year(month: int, day: int, read_on: int) -> str | None:
    read = read_on + _FIRST_DAY
    this_year = date.fromordinal(read).year
    days: list[tuple[int, int]] = []
    for year in (this_year - 1, this_year, this_year + 1):
        try:
            days.append((abs(date(year, month, day).toordinal() - read), year))
        except ValueError:
            continue
    return f"{min(days)[1]:04}" if days else None


def _expression(text: str) -> str:
    text = re.sub(r"%(.)", lambda found: _TOGETHER.get(found[1], found[0]), text, flags=re.DOTALL)
    expression = ""
    seen: set[str] = set()
    for directive, blank, other in re.findall(r"%(.?)|(\s+)|([^%\s]+)", text, re.DOTALL):
        if blank or other:
            expression += r"\s+" if blank else re.escape(other)
            continue
        if directive not in _DIRECTIVES:
            raise ValueError(
                f"`%{directive}` is not understood; use {' '.join(f'%{letter}' for letter in _DIRECTIVES)}, or `epoch`"
            )
        part = _DIRECTIVES[directive]
        named = re.match(r"\(\?P<(\w+)>", part)
        if named:
            what = _SAME.get(named[1], named[1])
            if what in seen:
                raise ValueError(f"`%{directive}` says again what was said before it")
            seen |= {what, named[1]}
        expression += part
    if not {"m", "d"} <= seen:
        raise ValueError("needs a month and a day (`%m` or `%b`, and `%d`), or is `epoch`, `epoch_ms` …")
    if "I" in seen and "p" not in seen:
        raise ValueError("`%I` needs `%p` beside it")
    return expression


def _hour(part: dict[str, str]) -> str | None:
    if not part.get("I"):
        return part.get("H") or "0"
    hour = int(part["I"])
    if not 1 <= hour <= 12:
        return None
    return str(hour % 12 + (12 if part["p"].lower() == "pm" else 0))


def _century(year: str | None) -> str | None:
    """Two digits as a year, from 1970 to 2069."""
    return year and ("19" if year >= "70" else "20") + year


def _since_1970(text: str, unit: int) -> Moment | None:
    if not _number(text):
        return None
    seconds = Decimal(text).scaleb(-unit)
    whole = int(seconds)
    digits = min(9, max(0, -int(seconds.as_tuple().exponent)))
    fraction = f".{int((seconds - whole).scaleb(digits)):0{digits}}" if digits else ""
    return Moment(f"{second(whole)}{fraction}Z", exact=False, assumed=False) if whole < LAST_SECOND else None
