"""Times: what is understood, what it becomes, and what is not a time."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.normalise.clock import TimeReader
from agent.processors.normalise.reading import Reading
from agent.processors.normalise.times import read_at, read_number, read_text, zone_of
from agent.values import quote

# What Elasticsearch's strict_date_optional_time takes, as far as the calendar does not matter.
TAKEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00.1Z",
        "2026-11-22T10:00:00.123456789Z",
        "2026-11-22T10:00:00.123+05:30",
        "2026-11-22T23:59:59-03:00",
        "2024-02-29T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2259-12-31T23:59:59Z",
        "2000-02-29T00:00:00+00:00",
    ],
)
def test_canonical_time_is_left_alone(text: str) -> None:
    """A time in the form the index takes is passed on as it was written."""
    assert read_text(text, UTC) == (text, True, False)


@pytest.mark.parametrize(
    ("text", "expected", "assumed"),
    [
        ("2026-11-22 10:00:00,123", "2026-11-22T10:00:00.123Z", True),
        ("2026-11-22 10:00:00.123456", "2026-11-22T10:00:00.123456Z", True),
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00Z", True),
        ("2026-11-22T10:00", "2026-11-22T10:00:00Z", True),
        ("2026/11/22 10:00:00", "2026-11-22T10:00:00Z", True),
        ("2026-11-22 10:00:00.123456+00:00", "2026-11-22T10:00:00.123456+00:00", False),
        ("2026-11-22T10:00:00+0100", "2026-11-22T10:00:00+01:00", False),
        ("2026-11-22T10:00:00+01", "2026-11-22T10:00:00+01:00", False),
        ("2026-11-22T10:00:00-00:00", "2026-11-22T10:00:00Z", False),
        ("2026-11-22 10:00:00 UTC", "2026-11-22T10:00:00Z", False),
        ("2026-11-22t10:00:00z", "2026-11-22T10:00:00Z", False),
        ("2026-11-22T10:00:00.1234567891234Z", "2026-11-22T10:00:00.123456789Z", False),
        ("20261122T100000Z", "2026-11-22T10:00:00Z", False),
        ("20261122T100000.5Z", "2026-11-22T10:00:00.5Z", False),
        ("Sun Nov 22 10:00:00 2026", "2026-11-22T10:00:00Z", True),
        ("Sun Nov  2 10:00:00 2026", "2026-11-02T10:00:00Z", True),
        ("Sun, 22 Nov 2026 10:00:00 GMT", "2026-11-22T10:00:00Z", False),
        ("22/Nov/2026:10:00:00 +0100", "2026-11-22T10:00:00+01:00", False),
        ("1763805600", "2025-11-22T10:00:00Z", False),
        ("1763805600.5", "2025-11-22T10:00:00.5Z", False),
        (" 2026-11-22T10:00:00Z ", "2026-11-22T10:00:00Z", False),
    ],
)
def test_dialect(text: str, expected: str, assumed: bool) -> None:
    """Other ways to write a time become the one form; a zone that was not written is marked as assumed."""
    assert read_text(text, UTC) == (expected, False, assumed)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("1763805600", "2025-11-22T10:00:00Z"),
        ("1763805600.123", "2025-11-22T10:00:00.123Z"),
        ("1763805600.1234567899", "2025-11-22T10:00:00.123456789Z"),
        ("1763805600.000", "2025-11-22T10:00:00.000Z"),
        ("1763805600123", "2025-11-22T10:00:00.123Z"),
        ("1763805600123.25", "2025-11-22T10:00:00.12325Z"),
        ("1763805600123456", "2025-11-22T10:00:00.123456Z"),
        ("1763805600123456789", "2025-11-22T10:00:00.123456789Z"),
        ("1.7638056e9", "2025-11-22T10:00:00Z"),
        ("1.7638056E+18", "2025-11-22T10:00:00Z"),
        ("100000000", "1973-03-03T09:46:40Z"),
        ("9151487999", "2259-12-31T23:59:59Z"),
    ],
)
def test_number_since_1970(number: str, expected: str) -> None:
    """The size of the number says whether it counts seconds, milli-, micro- or nanoseconds; it keeps its digits."""
    assert read_number(number) == (expected, False, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T10:60:00Z",
        "2026-01-01T10:00:60Z",
        "2026-01-01T10:00:00+19:00",
        "2026-01-01T10:00:00+01:60",
        "1969-12-31T23:59:59Z",
        "2260-01-01T00:00:00Z",
        "2026-01-01",
        "2026-W01-1T10:00:00Z",
        "Sun Foo 22 10:00:00 2026",
        "٢٠٢٦-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z and more",
        "2026-11-22T10:00:00." + "1" * 60 + "Z",
        "9151488000",
        "99999999",
        "5.2",
        "0",
        "-1763805600",
        "1e400",
        "9" * 40,
        "1_763_805_600",
    ],
)
def test_not_a_time(text: str) -> None:
    """Ranges are checked, and nothing is guessed."""
    assert read_text(text, UTC) is None


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("Europe/Paris", "2026-07-01 12:00:00", "2026-07-01T12:00:00+02:00"),
        ("Europe/Paris", "2026-12-01 12:00:00", "2026-12-01T12:00:00+01:00"),
        ("Europe/London", "2026-12-01 12:00:00", "2026-12-01T12:00:00Z"),
        ("Asia/Kolkata", "2026-12-01 12:00:00,5", "2026-12-01T12:00:00.5+05:30"),
        ("Africa/Monrovia", "1971-06-01 12:00:30", "1971-06-01T12:44:30Z"),
        ("UTC", "2026-12-01 12:00:00", "2026-12-01T12:00:00Z"),
    ],
)
def test_time_without_zone_is_in_the_configured_one(zone: str, text: str, expected: str) -> None:
    """The digits stay, the offset is added."""
    found = read_text(text, zone_of(zone))
    assert found
    assert (found.text, found.assumed) == (expected, True)


def test_local_zone_is_the_machines() -> None:
    """``local`` is whatever this machine's zone is."""
    found = read_text("2026-12-01 12:00:00", zone_of("local"))
    assert found
    assert datetime.fromisoformat(found.text) == datetime(2026, 12, 1, 12).astimezone()


@given(
    st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(2259, 12, 28)),
    st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters))),
)
def test_iso_times_keep_their_instant(moment: datetime, zone: timezone) -> None:
    """Whatever ``isoformat`` writes comes out as the same instant, in the form the index takes."""
    written = moment.replace(tzinfo=zone)
    for text in (written.isoformat(), written.isoformat(sep=" "), written.isoformat().replace(".", ",")):
        found = read_text(text, UTC)
        assert found
        assert TAKEN.fullmatch(found.text)
        assert datetime.fromisoformat(found.text) == written


@given(st.integers(10**8 * 10**9, 9_151_487_999 * 10**9))
def test_epoch_numbers_keep_their_instant(nanoseconds: int) -> None:
    """The four units read the same instant, each as finely as it can say it."""
    whole = datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat().removesuffix("+00:00")
    digits = f"{nanoseconds % 10**9:09}"
    for kept in (0, 3, 6, 9):
        found = read_number(str(nanoseconds // 10 ** (9 - kept)))
        assert found
        assert found.text == f"{whole}{'.' + digits[:kept] if kept else ''}Z"
    found = read_number(f"{nanoseconds // 10**9}.{digits}")
    assert found
    assert found.text == f"{whole}.{digits}Z"


CLOCK = st.tuples(st.integers(0, 25), st.integers(0, 61), st.integers(0, 61))
WRITTEN = st.builds(
    lambda day, sep, clock, fraction, zone: f"2026-{day}{sep}{clock[0]:02}:{clock[1]:02}:{clock[2]:02}{fraction}{zone}",
    st.sampled_from(["11-22", "02-28", "02-29", "02-30", "13-01", "04-31"]),
    st.sampled_from("T "),
    st.just((10, 0, 0)) | CLOCK,
    st.sampled_from(["", ".1", ",123", ".123456", ".1234567890"]),
    st.sampled_from(["Z", "", "+01:00", "-00:00", "+0100", "+19:00"]),
)


@given(st.lists(WRITTEN, min_size=1, max_size=6), st.sampled_from(["UTC", "Europe/Paris"]))
def test_column_agrees_with_single_values(texts: list[str], zone: str) -> None:
    """A column that is read at once comes to exactly what its values come to one by one."""
    reader = TimeReader(zone_of(zone))
    column = [quote(text) for text in texts]
    read = reader.read_column(column)
    alone = [reader.read(value) for value in column]
    if read:
        assert alone == [
            Reading(tuple(zip(read.places, values, strict=True)), read.exact)
            for values in zip(*read.columns, strict=True)
        ]


@pytest.mark.parametrize(
    "odd",
    [
        "2026-11-22T10:00:61",
        "2026-11-22T10:61:00",
        "2026-11-22T25:00:00",
        "2026-11-31T10:00:00",
        "2026-13-22T10:00:00",
        "2026-02-29T10:00:00",
        "2261-11-22T10:00:00",
        "2026-11-22T11:00:00",
        "2026-12-22T10:00:00",
    ],
)
@pytest.mark.parametrize("zone", ["Z", "+01:00"])
@pytest.mark.parametrize("at", [1, 4, 6])
def test_one_time_out_of_range_is_seen_in_a_column(odd: str, zone: str, at: int) -> None:
    """The quick look at a column of one hour and zone misses no value out of range."""
    column = [quote(f"2026-11-22T10:00:00{zone}")] * 7
    column[at] = quote(odd + zone)
    reader = TimeReader(UTC)
    assert (reader.read_column(column) is None) == (reader.read(column[at]) is None)


def test_one_bad_zone_is_seen_in_a_column() -> None:
    """Nor a zone out of range."""
    column = [quote("2026-11-22T10:00:00+01:00"), quote("2026-11-22T10:00:00+19:00")]
    assert TimeReader(UTC).read_column(column) is None


EPOCH = st.sampled_from(["1763805600", "1763805600.25", "1763805600123", "1763805600123456", "1763805600123456789"])
ODD_EPOCH = st.sampled_from(["9151488000", "9151488000123", "99999999", "1.7e9", "1763805600.1234567891", "0", "null"])


@given(st.lists(EPOCH, min_size=1, max_size=3) | st.lists(EPOCH | ODD_EPOCH, min_size=1, max_size=3))
def test_column_of_numbers_agrees_with_single_values(numbers: list[str]) -> None:
    """The same for numbers since 1970."""
    reader = TimeReader(UTC)
    column = [number.encode() for number in numbers]
    read = reader.read_column(column)
    if read:
        assert [reader.read(value) for value in column] == [
            Reading(tuple(zip(read.places, values, strict=True)), read.exact)
            for values in zip(*read.columns, strict=True)
        ]


def test_usual_columns_are_read_at_once() -> None:
    """The forms the usual formatters write need no look at each value."""
    reader = TimeReader(UTC)
    for number in (b"1763805600", b"1763805600.25", b"1763805600123", b"1763805600123456", b"1763805600123456789"):
        assert reader.read_column([number] * 3) is not None
    for form in ("2026-11-22T10:00:{:02}.123456Z", "2026-11-22 10:00:{:02},123", "2026-11-22 10:00:{:02}.123456+00:00"):
        assert reader.read_column([quote(form.format(second)) for second in range(60)]) is not None


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [(0, b'"1970-01-01T00:00:00.000Z"'), (1_763_805_600_999_999_999, b'"2025-11-22T10:00:00.999Z"')],
)
def test_time_of_reading(nanoseconds: int, expected: bytes) -> None:
    """Milliseconds, cut, never rounded into the next second."""
    assert read_at(nanoseconds) == expected


def test_zone_names() -> None:
    """An IANA name, UTC, or this machine's own."""
    assert (zone_of("UTC"), zone_of("local"), zone_of("Europe/Paris")) == (UTC, None, ZoneInfo("Europe/Paris"))
