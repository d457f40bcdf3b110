"""One entry of the journal, taken apart; and where it stands in the document."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inputs.journald.batches import EntryBatches
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.journald.entry import cursor_in, one_line, read_entry
from agent.inputs.journald.state import decode_position, encode_position, same_entry
from agent.inputs.lines import Cut
from tests.unit.normalise.documents import READ_AT_NS, bodies, own

CURSOR = "s=850e;i=2;b=0123;m=7d0;t=6442bfe4110e0;x=f274"
STAMP = {"__CURSOR": CURSOR, "__REALTIME_TIMESTAMP": "1763805600123456", "__MONOTONIC_TIMESTAMP": "1000"}


def document(**fields: Any) -> dict[str, Any]:
    """The document of one entry, without what every document has."""
    line = json.dumps(STAMP | fields).encode()
    batches = EntryBatches(JournaldConfig(id="in"), None)
    (batch,) = batches.make(Cut([line], [0], 0, len(line)), READ_AT_NS)
    (body,) = bodies(batch)
    return own(json.loads(body))


AT = {"@timestamp": "2025-11-22T10:00:00.123456Z"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"MESSAGE": "hello"}, {"message": "hello"}),
        (
            {"MESSAGE": "disk", "PRIORITY": "4", "SYSLOG_FACILITY": "3"},
            {
                "message": "disk",
                "log": {"level": "warning", "syslog": {"severity": {"code": 4}, "facility": {"code": 3}}},
                "event": {"severity": 30},
            },
        ),
        ({"MESSAGE": "m", "PRIORITY": "9"}, {"message": "m", "fields": {"PRIORITY": "9"}}),
        (
            {"MESSAGE": "m", "SYSLOG_IDENTIFIER": "serve", "_COMM": "python3", "_PID": "77", "SYSLOG_PID": "76"},
            {"message": "m", "process": {"name": "serve", "pid": 77}, "fields": {"SYSLOG_PID": "76"}},
        ),
        (
            {"MESSAGE": "m", "_COMM": "python3", "_PID": "x"},
            {"message": "m", "process": {"name": "python3"}, "fields": {"_PID": "x"}},
        ),
        ({"MESSAGE": "m", "SYSLOG_PID": "76"}, {"message": "m", "process": {"pid": 76}}),
        (
            {"MESSAGE": "m", "_SYSTEMD_UNIT": "model.service", "_HOSTNAME": "gpu-7", "_CAP_EFFECTIVE": "0"},
            {
                "message": "m",
                "log": {"syslog": {"hostname": "gpu-7"}},
                "fields": {"_SYSTEMD_UNIT": "model.service"},
            },
        ),
        (
            {"MESSAGE": "m", "CODE_FILE": "a.py", "CODE_LINE": "7", "CODE_FUNC": "f", "ERRNO": "2"},
            {
                "message": "m",
                "log": {"origin": {"file": {"name": "a.py", "line": 7}, "function": "f"}},
                "error": {"code": "2"},
            },
        ),
        ({"MESSAGE": "m", "TAG": ["a", "b"]}, {"message": "m", "fields": {"TAG": ["a", "b"]}}),
        ({"MESSAGE": "m", "TAG": [99, 97, 102, 195, 169, 27]}, {"message": "m", "fields": {"TAG": "café\x1b"}}),
        ({"MESSAGE": "m", "TAG": [255, 0]}, {"message": "m", "fields": {"TAG": [255, 0]}}),
        ({"MESSAGE": ["one", "two"]}, {"message": "one", "fields": {"MESSAGE": ["one", "two"]}}),
        ({"MESSAGE": [99, 195, 169]}, {"message": "cé"}),
        ({"MESSAGE": "a\nb"}, {"message": "a\nb"}),
        ({"MESSAGE": None}, {}),
        ({"MODEL": "m1"}, {"fields": {"MODEL": "m1"}}),
        # The message is read like any line, and what it says itself comes first.
        (
            {"MESSAGE": '{"level": "ERROR", "message": "no GPU", "request_id": "r"}', "PRIORITY": "6", "_PID": "7"},
            {
                "message": "no GPU",
                "log": {"level": "error", "syslog": {"severity": {"code": 6}}},
                "event": {"severity": 40},
                "ml": {"inference": {"id": "r"}},
                "process": {"pid": 7},
            },
        ),
        (
            {"MESSAGE": '{\n "message": "m",\n "inputs": {"a": [1,\n 2]}\n}'},
            {"message": "m", "ml": {"inputs": {"a": [1, 2]}}},
        ),
        ({"MESSAGE": '{"message":\n'}, {"message": '{"message":\n'}),
    ],
)
def test_where_an_entry_lands(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the journal says of a message stands beside what the message says."""
    assert document(**fields) == AT | expected


@pytest.mark.parametrize(
    ("stamps", "time"),
    [
        ({"_SOURCE_REALTIME_TIMESTAMP": "1763805600000001"}, "2025-11-22T10:00:00.000001Z"),
        ({"_SOURCE_REALTIME_TIMESTAMP": "soon"}, "2025-11-22T10:00:00.123456Z"),
        ({"__REALTIME_TIMESTAMP": "9999999999000000"}, "2025-11-22T10:00:01.341Z"),
    ],
)
def test_time_of_the_writer_comes_first(stamps: dict[str, str], time: str) -> None:
    """Then the time journald took it, then the time it was read."""
    assert document(MESSAGE="m", **stamps)["@timestamp"] == time


def test_time_in_the_message_is_kept() -> None:
    """A record that knows its time is believed."""
    assert document(MESSAGE='{"timestamp": "2026-01-01T00:00:00Z"}')["@timestamp"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"-- No entries --", b"{}", b'{"__CURSOR": 5}'])
def test_what_is_no_entry_is_counted(line: bytes) -> None:
    """It is left out and said, and does not take its neighbours with it."""
    good = json.dumps(STAMP | {"MESSAGE": "m"}).encode()
    batches = list(EntryBatches(JournaldConfig(id="in"), None).make(Cut([good, line, good], [0] * 3, 0, 9), 1))
    assert [line for batch in batches for line in batch.lines] == [b"m", b"m"]
    assert sum(batch.counts.accepted for batch in batches) == 3
    assert [batch.counts.dropped for batch in batches] == [{}, {"unreadable": 1}, {}]


@pytest.mark.parametrize("cursor", [CURSOR, None])
def test_entry_too_long_to_be_read_is_counted(cursor: str | None) -> None:
    """The position moves behind it if its cursor is in the part that was read, which it need not be."""
    part = json.dumps({"A": 'b","__CURSOR":"no', **({"__CURSOR": cursor} if cursor else {}), "MESSAGE": "x" * 99})
    batches = EntryBatches(JournaldConfig(id="in"), "before")
    cut = Cut([part.replace(" ", "").encode()[:-20]], [0], 0, 9, truncated=True)
    (batch,) = batches.make(cut, 1)
    assert (batch.lines, batch.counts.accepted, batch.counts.dropped) == ([], 1, {"too_long": 1})
    assert batch.origin is not None
    assert decode_position(batch.origin.state) == (cursor or "before")


def test_writers_that_invent_fields_make_smaller_batches() -> None:
    """A thousand entries with a hundred fields of their own each are no table of a hundred million cells."""
    lines = [
        json.dumps(STAMP | {"MESSAGE": str(n)} | {f"F{n}_{i}": "" for i in range(100)}).encode() for n in range(1000)
    ]
    batches = list(EntryBatches(JournaldConfig(id="in"), None).make(Cut(lines, [0] * 1000, 0, 9), 1))
    assert [line for batch in batches for line in batch.lines] == [b"%d" % n for n in range(1000)]
    assert max(len(batch.sparse) * len(batch.lines) for batch in batches) <= 256 * 4


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (CURSOR, True),
        ("s=850e;i=2;b=9;m=9;t=9;x=9", True),
        ("s=1;i=9;b=0123;m=7d0;t=6442bfe4110e0;x=f274", True),
        ("s=850e;i=3;b=0123;m=7d0;t=6442bfe4110e0;x=0", False),
        ("", False),
        ("garbage", False),
    ],
)
def test_cursors_of_one_entry(other: str, same: bool) -> None:
    """The same number in the same journal, or the same content at the same moment."""
    assert same_entry(CURSOR, other) is same


@pytest.mark.parametrize("state", [b"", b"\x00", b"\x92\x02\xa1c", b"\x92\x01\xc4\x01c", b"\x91\x01"])
def test_states_of_others_are_refused(state: bytes) -> None:
    """Damaged, or of a later version: never guessed at."""
    with pytest.raises(ValueError, match="position"):
        decode_position(state)


def test_state_as_it_lies_on_disk() -> None:
    """Version 1: its bytes must not change."""
    assert encode_position("c") == b"\x92\x01\xa1c"


@settings(deadline=None)
@given(st.binary(max_size=30) | st.text(max_size=30).map(lambda text: ("\n{" + text).encode()))
def test_any_message_becomes_one_record(message: bytes) -> None:
    """Whatever it holds, as text or as an array of bytes, its document is one line."""
    line = json.dumps(STAMP | {"MESSAGE": list(message)}).encode()
    (batch,) = EntryBatches(JournaldConfig(id="in"), None).make(Cut([line], [0], 0, len(line)), READ_AT_NS)
    assert b"\n" not in one_line(message) or not one_line(message).lstrip().startswith(b"{")
    found = bodies(batch)
    assert len(found) == 1 - batch.counts.dropped.get("empty", 0)
    for body in found:
        json.loads(body)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*STAMP, "MESSAGE", "PRIORITY", "_PID", "CODE_LINE", "TAG", "_COMM", ""]),
        st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)),
    ),
    st.booleans(),
)
def test_any_object_is_an_entry_or_refused(fields: dict[str, Any], stamped: bool) -> None:
    """Nothing else is raised."""
    line = json.dumps(STAMP | fields if stamped else fields).encode()
    assert cursor_in(line) is None or isinstance(cursor_in(line), str)
    try:
        entry = read_entry(line)
    except ValueError:
        return
    for value in entry.places.values():
        json.loads(value)
