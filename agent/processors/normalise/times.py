"""Times: the usual ways to write one, read into the one form every reader takes.

What goes into ``@timestamp`` is ``YYYY-MM-DDThh:mm:ss[.f…](Z|±hh:mm)`` with at most nine digits of fraction, between
1970 and 2259, where both of Elasticsearch's date types take it. A time written so is passed on as it is. Everything
else that can be read is re-written, and the original kept:

* ISO 8601 dialects: a space or ``t`` for the ``T``, slashes in the date, a comma before the fraction, no seconds,
  ``+0100``, ``+01``, ``z``, ``UTC``, no zone; the basic form ``20261122T100000Z``;
* the C library's ``Sun Nov 22 10:00:00 2026``, mail's and HTTP's ``Sun, 22 Nov 2026 10:00:00 GMT``, and the web
  servers' ``22/Nov/2026:10:00:00 +0000``;
* seconds, milliseconds, microseconds or nanoseconds since 1970, as number or string; which of them the size says.
  Before 1973 a number is not taken for a time: small numbers are ages and offsets.

Month 13, 30 February, ``24:00`` and ``:60`` are not times. Digits of the fraction beyond nine are cut.
"""

import re
import time
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

_LEAP_YEARS: Final = "|".join(str(year) for year in range(1972, 2260, 4) if year % 100 != 0 or year % 400 == 0)
_YEAR: Final = r"(?:20\d\d|19[7-9]\d|2(?:1\d\d|2[0-5]\d))"
_DAY: Final = (
    r"(?:(?:1[02]|0[13578])-(?:[12]\d|0[1-9]|3[01])|(?:11|0[469])-(?:[12]\d|0[1-9]|30)|02-(?:0[1-9]|1\d|2[0-8]))"
)
_DATE: Final = rf"(?:{_YEAR}-{_DAY}|(?:{_LEAP_YEARS})-02-29)"
_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_ZONE: Final = r"(?:Z|(?:\+|-(?!00:00))(?:0\d|1[0-7]):[0-5]\d)"
CANONICAL: Final = rf"{_DATE}T{_CLOCK}(?:\.\d{{1,9}})?{_ZONE}"

_canonical: Final = re.compile(CANONICAL, re.ASCII).fullmatch
_moment: Final = re.compile(f"{_DATE}T{_CLOCK}", re.ASCII).fullmatch
_zone: Final = re.compile(_ZONE, re.ASCII).fullmatch

_TIME: Final = r"(?P<H>\d\d):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?"
_WRITTEN_ZONE: Final = r" ?(?P<zone>Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
_DAY_NAME: Final = r"(?:[A-Z][a-z]{2},? )?"
_MONTH_NAME: Final = r"(?P<mon>[A-Z][a-z]{2})"
_DIALECTS: Final = tuple(
    re.compile(pattern + _WRITTEN_ZONE, re.ASCII)
    for pattern in (
        rf"(?P<Y>\d{{4}})[-/](?P<m>\d\d)[-/](?P<d>\d\d)[Tt ]{_TIME}",
        r"(?P<Y>\d{4})(?P<m>\d\d)(?P<d>\d\d)[Tt](?P<H>\d\d)(?P<M>\d\d)(?:(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?",
        rf"{_DAY_NAME}(?P<d>\d\d?)[ /-]{_MONTH_NAME}[ /-](?P<Y>\d{{4}})[ :]{_TIME}",
        rf"{_DAY_NAME}{_MONTH_NAME} {{1,2}}(?P<d>\d\d?) {_TIME} (?P<Y>\d{{4}})",
    )
)
MONTHS: Final = {
    name: f"{number:02}"
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_whole_seconds: Final = re.compile(r"([1-9]\d{8,9})(\d{3}|\d{6}|\d{9})?(?:\.(\d{1,9}))?", re.ASCII).fullmatch
_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d{1,40})?(?:[eE]\+?\d{1,2})?", re.ASCII).fullmatch
_FIRST_SECOND: Final = 10**8
LAST_SECOND: Final = 9_151_488_000
MAX_CHARS: Final = 64


class Moment(NamedTuple):
    """A time in the canonical form. ``exact``: it was written so. ``assumed``: the zone is the configured one, none
    was written."""

    text: str
    exact: bool
    assumed: bool


def zone_of(name: str) -> tzinfo | None:
    """The zone a configured name means (an IANA name, ``UTC``); None is this machine's local time (``local``)."""
    if name == "local":
        return None
    return UTC if name == "UTC" else ZoneInfo(name)


def read_text(text: str, zone: tzinfo | None) -> Moment | None:
    """The time a string stands for; ``zone`` is what one without a zone is in."""
    if len(text) > MAX_CHARS:
        return None
    if _canonical(text):
        return Moment(text, exact=True, assumed=False)
    text = text.strip()
    for dialect in _DIALECTS:
        if found := dialect.fullmatch(text):
            part = found.groupdict()
            month = part["m"] if "m" in part else MONTHS.get(part["mon"], "")
            moment = f"{part['Y']}-{month}-{part['d']:0>2}T{part['H']}:{part['M']}:{part['S'] or '00'}"
            return complete(moment, (part["f"] or "")[:9], part["zone"], zone)
    return read_number(text)


def read_number(text: str) -> Moment | None:
    """The time a number since 1970 stands for; its size says the unit."""
    if found := _whole_seconds(text):
        whole = int(found[1])
        fraction = ((found[2] or "") + (found[3] or ""))[:9]
    elif len(text) <= MAX_CHARS and _NUMBER(text):
        number = Decimal(text)
        seconds = next(
            (s for s in map(number.scaleb, (0, -3, -6, -9)) if _FIRST_SECOND <= s < _FIRST_SECOND * 1000), Decimal(0)
        )
        whole = int(seconds)
        digits = min(9, max(0, -int(seconds.as_tuple().exponent)))
        fraction = f"{int((seconds - whole).scaleb(digits)):0{digits}}" if digits else ""
    else:
        return None
    if not _FIRST_SECOND <= whole < LAST_SECOND:
        return None
    return Moment(f"{second(whole)}{'.' + fraction if fraction else ''}Z", exact=False, assumed=False)


def read_at(nanoseconds: int) -> bytes:
    """The JSON text of a time of this process's clock, to the millisecond."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return b'"%b.%03dZ"' % (second(seconds).encode(), rest // 1_000_000)


@lru_cache(maxsize=1024)
def second(seconds: int) -> str:
    """A second since 1970 as ``YYYY-MM-DDThh:mm:ss``, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def complete(moment: str, fraction: str, written_zone: str | None, zone: tzinfo | None) -> Moment | None:
    """A time from its parts: ``YYYY-MM-DDThh:mm:ss``, which is checked here, at most nine digits of fraction, and the
    zone as it was written; without one it is in ``zone``."""
    if not _is_moment(moment):
        return None
    if fraction:
        fraction = "." + fraction
    if not written_zone:
        placed = _place(moment[:16], zone)
        return placed and Moment(f"{placed[0]}{moment[16:]}{fraction}{placed[1]}", exact=False, assumed=True)
    offset = (
        "Z"
        if written_zone in ("Z", "z", "UTC", "GMT")
        else f"{written_zone[:3]}:{written_zone[3:].lstrip(':') or '00'}"
    )
    if offset == "-00:00":
        offset = "Z"
    return Moment(f"{moment}{fraction}{offset}", exact=False, assumed=False) if _zone(offset) else None


@lru_cache(maxsize=1024)
def _is_moment(text: str) -> bool:
    return _moment(text) is not None


@lru_cache(maxsize=256)
def _place(minute: str, zone: tzinfo | None) -> tuple[str, str] | None:
    """The minute and the offset it has in a zone; in UTC where the offset is not of whole minutes, as some were
    before 1972."""
    naive = datetime.fromisoformat(minute)
    try:
        placed = naive.astimezone() if zone is None else naive.replace(tzinfo=zone)
        offset = placed.utcoffset() or timedelta()
        if offset.total_seconds() % 60:
            placed, offset = placed.astimezone(UTC), timedelta()
    except (OverflowError, OSError, ValueError):
        return None
    text = placed.isoformat(timespec="minutes")
    return text[:16], text[16:] if offset else "Z"
