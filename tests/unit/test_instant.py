"""Times as nanoseconds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.instant import unix_ns

zones = st.integers(-17 * 60, 17 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    at=st.datetimes(datetime(1970, 1, 3), datetime(2259, 12, 30), timezones=zones),
    nanos=st.integers(0, 999_999_999),
    digits=st.integers(1, 9),
)
def test_time_is_exact_to_the_last_digit_written(at: datetime, nanos: int, digits: int) -> None:
    """Whatever the zone and the number of digits; a double would have lost the last three."""
    fraction = f"{nanos:09}"[:digits]
    text = at.replace(microsecond=0, tzinfo=None).isoformat() + f".{fraction}" + at.isoformat()[-6:]
    seconds = int((at.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    assert unix_ns(text) == seconds * 10**9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T10:00:00Z", 1795341600 * 10**9),
        ("2026-11-22T10:00:00", 1795341600 * 10**9),
        ("2026-11-22T11:00:00+01:00", 1795341600 * 10**9),
        ("2026-11-22T10:00:00.000000001Z", 1795341600 * 10**9 + 1),
        ("1969-12-31T23:59:59Z", None),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
        ("2262-04-11T23:47:16.854775808Z", None),
        ("9999-12-31T23:59:59-17:00", None),
        ("2026-02-30T10:00:00Z", None),
        ("2026-11-22T10:00:00.1234567890Z", None),
        ("2026-11-22 10:00:00Z", None),
        ("1795341600", None),
        ("", None),
    ],
)
def test_what_is_no_such_time_is_none(text: str, ns: int | None) -> None:
    """Days that do not exist, other forms, what lies before 1970, and what 63 bits cannot hold."""
    assert unix_ns(text) == ns
