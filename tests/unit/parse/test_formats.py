"""Times as the operator says they are written."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.parse.formats import TimeFormat, nearest_year
from agent.processors.parse.presets.preset import FORMATS
from tests.unit.parse.parsed import READ_AT_NS

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata")


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("form", "text", "expected", "assumed"),
    [
        ("%Y-%m-%d %H:%M:%S", "2026-11-22 10:00:00", "2026-11-22T10:00:00Z", True),
        ("%Y-%m-%d %H:%M:%S,%f", "2026-11-22 10:00:00,123456789012", "2026-11-22T10:00:00.123456789Z", True),
        ("%d/%b/%Y:%H:%M:%S %z", "22/Nov/2026:10:00:00 +0100", "2026-11-22T10:00:00+01:00", False),
        ("%d.%m.%y %H:%M", "2.1.26 9:05", "2026-01-02T09:05:00Z", True),
        ("%m/%d/%Y %I:%M:%S %p", "11/22/2026 12:00:01 AM", "2026-11-22T00:00:01Z", True),
        ("%m/%d/%Y %I:%M:%S %p", "11/22/2026 01:00:00 pm", "2026-11-22T13:00:00Z", True),
        ("%a %b %e %T %Y", "Sun Nov  1 10:00:00 2026", "2026-11-01T10:00:00Z", True),
        ("%A, %d %B %Y %R %Z", "Sunday, 22 November 2026 10:00 GMT", "2026-11-22T10:00:00Z", False),
        ("%FT%T%z", "2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z", False),
        ("%m%d %H:%M:%S.%f", "1122 10:00:00.123456", "2026-11-22T10:00:00.123456Z", True),
        ("100%% %F", "100% 2026-11-22", "2026-11-22T00:00:00Z", True),
        ("epoch", "1763805600.123", "2025-11-22T10:00:00.123Z", False),
        ("epoch", "17", "1970-01-01T00:00:17Z", False),
        ("epoch_ms", "1763805600123", "2025-11-22T10:00:00.123Z", False),
        ("epoch_us", "1763805600123456", "2025-11-22T10:00:00.123456Z", False),
        ("epoch_ns", "1763805600123456789", "2025-11-22T10:00:00.123456789Z", False),
    ],
)
def test_time_is_read(form: str, text: str, expected: str, assumed: bool) -> None:
    """In the canonical form, with every digit of the fraction up to nine; without a zone, that of the input."""
    moment = TimeFormat(form).read(text, UTC, READ_AT_NS)
    assert moment
    assert (moment.text, moment.assumed) == (expected, assumed)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%F %T", "2026-02-30 10:00:00"),
        ("%F %T", "2026-11-22 24:00:00"),
        ("%F %T", "2026-11-22 10:00:00 and more"),
        ("%F %T", "٢٠٢٦-11-22 10:00:00"),
        ("%m-%d %H", "02-29 10"),
        ("%m/%d/%Y %I %p", "11/22/2026 13 pm"),
        ("%m/%d/%Y %I %p", "11/22/2026 0 am"),
        ("%d %b %Y", "22 Foo 2026"),
        ("epoch", "1e9"),
        ("epoch", "-5"),
        ("epoch", "9151488000"),
        ("epoch", ""),
        ("%F", "2026-11-22" * 100),
    ],
)
def test_what_is_written_otherwise_is_no_time(form: str, text: str) -> None:
    """Ranges are checked, and nothing is guessed."""
    assert TimeFormat(form).read(text, UTC, READ_AT_NS) is None


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%H:%M", "needs a month and a day"),
        ("%Y-%m-%d %Q", "`%Q` is not understood"),
        ("%Y-%m-%d %", "`%` is not understood"),
        ("%m-%d %b", "says again"),
        ("%m-%d %I", "`%I` needs `%p`"),
        ("", "needs a month"),
    ],
)
def test_a_format_that_is_none_says_why(form: str, said: str) -> None:
    """In words for the operator."""
    with pytest.raises(ValueError, match=said):
        TimeFormat(form)


@given(
    read=st.datetimes(datetime(1975, 1, 1), datetime(2255, 1, 1)),
    days=st.floats(-180, 180, allow_nan=False),
    zone=st.sampled_from(ZONES),
)
def test_a_time_without_a_year_is_right_over_new_year(read: datetime, days: float, zone: str) -> None:
    """Whatever was written within half a year of being read comes back as the moment it was, on either side of New
    Year, in any zone."""
    place = ZoneInfo(zone)
    written = (read.replace(tzinfo=UTC) + timedelta(days=days)).astimezone(place).replace(microsecond=0)
    text = written.strftime("%m-%d %H:%M:%S")
    moment = FORMATS["yearless"].read(text, place, _ns(read.replace(tzinfo=UTC)))
    assert moment
    assert datetime.fromisoformat(moment.text).replace(tzinfo=None) == written.replace(tzinfo=None)


@given(read=st.datetimes(datetime(1975, 1, 1), datetime(2255, 1, 1)), month=st.integers(1, 12), day=st.integers(1, 31))
def test_the_nearest_year_is_the_nearest(read: datetime, month: int, day: int) -> None:
    """Of the years around, none brings the day nearer; a day that none of them has is of no year."""
    found = nearest_year(month, day, _ns(read.replace(tzinfo=UTC)))
    distances = {}
    for year in range(read.year - 1, read.year + 2):
        try:
            distances[year] = abs(datetime(year, month, day) - read.replace(hour=0, minute=0, second=0, microsecond=0))
        except ValueError:
            continue
    assert (found is None) == (not distances)
    if found:
        assert distances[int(found)] == min(distances.values())


@given(st.datetimes(datetime(1971, 1, 1), datetime(2258, 1, 1)))
def test_what_python_writes_is_read(moment: datetime) -> None:
    """``strftime`` and back, for a format with every part."""
    form = "%a %d %b %Y %I:%M:%S.%f %p +0000"
    found = TimeFormat("%a %d %b %Y %I:%M:%S.%f %p %z").read(moment.strftime(form), UTC, 0)
    assert found
    assert datetime.fromisoformat(found.text) == moment.replace(tzinfo=UTC)


@given(st.text(max_size=70), st.sampled_from(["%F %T", "%m%d %H:%M:%S.%f", "epoch_ms", "%d/%b/%Y:%T %z"]))
def test_any_text_is_a_time_or_none(text: str, form: str) -> None:
    """Nothing raises."""
    TimeFormat(form).read(text, UTC, READ_AT_NS)
