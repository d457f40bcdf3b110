"""Syslog messages taken apart: what the standards show, what is found in use, and anything at all."""

from datetime import UTC
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.syslog import Said, read_syslog

NOVEMBER = 1_795_435_200 * 1_000_000_000  # 2026-11-23T12:00:00Z
DECEMBER = 1_798_675_200 * 1_000_000_000  # 2026-12-31T00:00:00Z
JANUARY = 1_798_848_000 * 1_000_000_000  # 2027-01-02T00:00:00Z

BOM = b"\xef\xbb\xbf"


def read(data: bytes, now_ns: int = NOVEMBER) -> Said:
    """What is read of a message that is syslog, in UTC."""
    said = read_syslog(data, UTC, now_ns)
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("data", "message", "expected"),
    [
        (
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " + BOM + b"'su root' failed",
            b"'su root' failed",
            {
                "@timestamp": "2003-10-11T22:14:15.003Z",
                "log.syslog.hostname": "mymachine.example.com",
                "log.syslog.appname": "su",
                "process.name": "su",
                "log.syslog.msgid": "ID47",
                "log.syslog.version": "1",
                "log.level": "critical",
                "event.severity": 50,
                "log.syslog.facility.code": 4,
                "log.syslog.severity.code": 2,
                "log.syslog.priority": 34,
            },
        ),
        (
            b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time.",
            b"%% It's time.",
            {"@timestamp": "2003-08-24T05:14:15.000003-07:00", "process.pid": 8710, "log.syslog.procid": "8710"},
        ),
        (
            b'<165>1 - - - - - [a@1 k="v\\"\\\\\\]\\n" k="w"][b x="]"] text',
            b"text",
            {"log.syslog.structured_data": {"a@1": {"k": ['v"\\]\\n', "w"]}, "b": {"x": "]"}}},
        ),
        (b'<14>1 - h a - - - {"n": 1}\n', b'{"n": 1}', {"log.syslog.hostname": "h"}),
        (b"<14>1 - h a p - - one\ntwo", b"one\ntwo", {"log.syslog.procid": "p"}),
        (b"<14>1 - h a - - no structured data", b"no structured data", {"log.syslog.appname": "a"}),
        (
            b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
            b"'su root' failed",
            {"@timestamp": "2026-10-11T22:14:15Z", "log.syslog.hostname": "mymachine", "process.name": "su"},
        ),
        (
            b"<13>Feb  5 17:32:18 192.0.2.99 sshd[42]: hello",
            b"hello",
            {"@timestamp": "2026-02-05T17:32:18Z", "log.syslog.hostname": "192.0.2.99", "process.pid": 42},
        ),
        (b"<13>Nov 23 12:00:00 root: as to /dev/log", b"as to /dev/log", {"process.name": "root"}),
        (b"<13>Nov 23 12:00:00 fe80::1 tag: text", b"text", {"log.syslog.hostname": "fe80::1", "process.name": "tag"}),
        (b"<13>2026-11-23T12:00:00.5+01:00 h t: x", b"x", {"@timestamp": "2026-11-23T12:00:00.5+01:00"}),
        (b"<13>Nov 23 2025 12:00:00 h t: x", b"x", {"@timestamp": "2025-11-23T12:00:00Z"}),
        (b'<13>Nov 23 12:00:00 {"a": 1}', b'{"a": 1}', {"@timestamp": "2026-11-23T12:00:00Z"}),
        (b"<14>from Python's SysLogHandler\0", b"from Python's SysLogHandler", {"log.level": "info"}),
        (b"<14>prog[7]: text", b"text", {"process.name": "prog", "process.pid": 7}),
        (b"<0>emergency", b"emergency", {"log.level": "critical", "log.syslog.severity.code": 0}),
    ],
)
def test_messages_as_they_are_sent(data: bytes, message: bytes, expected: dict[str, object]) -> None:
    """Examples of the standards, and what senders make of them."""
    said = read(data)
    assert said.message == message
    places = {place: msgspec.json.decode(value) for place, value in said.places.items()}
    assert {place: places.get(place) for place in expected} == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"<192>1 - - - - - - too large a priority",
        b"<>no priority",
        b"<14",
    ],
)
def test_what_is_no_syslog_is_none(data: bytes) -> None:
    """It is for the caller to keep it."""
    assert read_syslog(data, UTC, NOVEMBER) is None


@pytest.mark.parametrize(
    "header",
    [
        b"1 2026-13-01T00:00:00Z h a p m - no such month",
        b"Nov 31 12:00:00 h t: no such day",
        b"Foo 23 12:00:00 h t: no such month",
        b"1 - h a",
    ],
)
def test_what_is_behind_the_priority_and_cannot_be_read_is_the_message(header: bytes) -> None:
    """A time that is none must not vanish with the header."""
    said = read(b"<14>" + header)
    assert said.message == header
    assert "@timestamp" not in said.places


@pytest.mark.parametrize(
    ("month", "now_ns", "year"),
    [
        ("Nov", NOVEMBER, 2026),
        ("Jan", NOVEMBER, 2026),
        ("Dec", NOVEMBER, 2026),
        ("Dec", JANUARY, 2026),
        ("Jan", JANUARY, 2027),
        ("Jan", DECEMBER, 2027),
    ],
)
def test_missing_year_is_the_last_with_that_month(month: str, now_ns: int, year: int) -> None:
    """Around New Year messages are of the old year or, where a clock is ahead, of the new one."""
    said = read(f"<14>{month} 05 12:00:00 h t: x".encode(), now_ns)
    assert said.places["@timestamp"] == f'"{year}-{"01" if month == "Jan" else "12" if month == "Dec" else "11"}' \
        f'-05T12:00:00Z"'.encode()  # fmt: skip


def test_missing_zone_is_the_configured_one() -> None:
    """And the record says that it was assumed."""
    said = read_syslog(b"<14>Jul 05 12:00:00 h t: x", ZoneInfo("Europe/Paris"), NOVEMBER)
    assert said is not None
    assert said.places["@timestamp"] == b'"2026-07-05T12:00:00+02:00"'
    assert said.places["labels.timezone"] == b'"assumed"'


def test_header_without_message_is_a_message() -> None:
    """An empty line would be left out, and what the header says with it."""
    data = b'<14>1 - h a - - [x y="z"]'
    assert read(data).message == data


PARTS = st.sampled_from(
    [b"<14>", b"1 ", b"- ", b"[a", b' b="', b'c"', b"]", b"\\", b"Nov 23 ", b"12:00:00 ", b"host ", b"tag", b"[1]: "]
)


@given(st.lists(PARTS | st.binary(max_size=8), max_size=40).map(b"".join))
def test_any_bytes_are_read_or_left(data: bytes) -> None:
    """Nothing crashes; every place is JSON on one line; the message is a part of what came."""
    said = read_syslog(b"<14>" + data, UTC, NOVEMBER)
    if said is not None:
        assert said.message in b"<14>" + data
        for value in said.places.values():
            msgspec.json.decode(value)
            assert b"\n" not in value


@pytest.mark.parametrize("unit", [b'[a b="c"', b'[a b="', b"[a ", b"\\", b'"', b" ", b"]", b'[a b="c"]', b"<14>1 "])
def test_time_is_linear_in_the_message(unit: bytes) -> None:
    """A message of many beginnings without an end is read at all: with a way back kept it would take for ever."""
    data = b"<14>1 - - - - - " + unit * (1_000_000 // len(unit))
    read_syslog(data, UTC, NOVEMBER)
    read_syslog(b"<14>Nov 23 12:00:00 " + unit * (1_000_000 // len(unit)), UTC, NOVEMBER)
