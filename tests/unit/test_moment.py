"""Times on the command line."""

import pytest

from agent.moment import parse_moment

NOW_US = 1_795_341_600_000_000
HOUR_US = 3600 * 1_000_000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("now", NOW_US),
        ("90s", NOW_US - 90_000_000),
        ("1h30m", NOW_US - HOUR_US * 3 // 2),
        ("1.5h", NOW_US - HOUR_US * 3 // 2),
        ("7d", NOW_US - 7 * 24 * HOUR_US),
        ("1w", NOW_US - 7 * 24 * HOUR_US),
        ("250ms", NOW_US - 250_000),
        ("2026-11-22T10:00:00Z", NOW_US),
        ("2026-11-22T11:00+01:00", NOW_US),
        ("2026-11-22 10:00:00.5Z", NOW_US + 500_000),
    ],
)
def test_moment(text: str, us: int) -> None:
    """Spans are counted back from now; dates and times are what they say."""
    assert parse_moment(text, NOW_US) == us


@pytest.mark.parametrize("text", ["", "1x", "yesterday", "2026-02-30", "9" * 400 + "d", "-1h", "1h 30"])
def test_what_is_no_time_is_said(text: str) -> None:
    """Anything else is answered with a sentence that shows how times are written."""
    with pytest.raises(ValueError, match="is not a time: write how long ago"):
        parse_moment(text, NOW_US)
