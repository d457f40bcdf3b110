"""The time of a document as nanoseconds, for protocols that carry times as numbers."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_SECOND_NS: Final = 1_000_000_000
_END_NS: Final = 2**63


def unix_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of a time as ``@timestamp`` and ``event.created`` hold it, to the last digit; without a
    zone it is UTC. None for anything else, for times before 1970, and for those that 63 bits cannot hold: from 2262.
    """
    found = _TIME.fullmatch(text)
    seconds = found and _seconds(found[1], found[3] or "Z")
    if found is None or seconds is None or seconds < 0:
        return None
    ns = seconds * _SECOND_NS + int((found[2] or "0").ljust(9, "0"))
    return ns if ns < _END_NS else None


@lru_cache(4096)
def _seconds(clock: str, zone: str) -> int | None:
    """Seconds since 1970; None for a date or a clock that does not exist. Records of one second share the work."""
    try:
        at = datetime.fromisoformat(clock + zone)
    except ValueError:
        return None
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
