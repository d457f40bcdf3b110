"""Times as people write them on a command line: how long ago, or when."""

import re
from datetime import datetime
from typing import Final

_AGO: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_STEP: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
MAX_CHARS: Final = 64


def parse_moment(text: str, now_us: int) -> int:
    """Microseconds since 1970 of ``1h30m`` (ago), ``now``, or an ISO 8601 date or time, which without a zone is
    local. Raises ``ValueError`` with a sentence.
    """
    text = text.strip()
    if text == "now":
        return now_us
    if len(text) <= MAX_CHARS and _AGO.fullmatch(text):
        return now_us - round(sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(text)) * 1_000_000)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text[:MAX_CHARS]!r} is not a time: write how long ago (90s, 15m, 1h30m, 7d), "
            "or a date or time (2026-11-22, 2026-11-22T10:00:00Z)."
        ) from None
