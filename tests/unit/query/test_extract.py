"""What the index takes out of a document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.query.extract import MAX_INDEXED_CHARS, OTHER_LEVEL, extract, micros
from tests.unit.local.stored import record

TIME_US = 1_795_341_600_123_000


def test_places_are_found() -> None:
    """Time, level, message, error, ids and logger come from their places."""
    document = record(
        "served",
        log={"level": "error", "logger": "scorer"},
        error={"type": "ValueError", "message": "no", "stack_trace": "Tr"},
        ml={"inference": {"id": "4f2a"}},
        trace={"id": "abc"},
    )
    assert extract(document) == (TIME_US, 1 << 3, ("served", "ValueError\nno\nTr", "4f2a\nabc", "scorer"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"{}", (None, OTHER_LEVEL, (None, None, None, None))),
        (b'{"log":{"level":"loud"}}', (None, OTHER_LEVEL, (None, None, None, None))),
        (b'{"log":{"level":"debug"}}', (None, 1, (None, None, None, None))),
        (b'{"message":5,"log":{"level":"info","logger":"l"}}', (None, 2, (None, None, None, "l"))),
        (b'{"message":"m","log":"x"}', (None, OTHER_LEVEL, ("m", None, None, None))),
        (b'{"message":"half \\ud83d pair"}', (None, OTHER_LEVEL, ("half \ufffd pair", None, None, None))),
        (
            b'{"message":"m","log":{"level":"info"},"fields":{"\\ud800":"\\ud800","n":1e999}}',
            (None, 2, ("m", None, None, None)),
        ),
        (b'{"message":"m","fields":' + b"[" * 5000 + b"]" * 5000 + b"}", (None, OTHER_LEVEL, (None, None, None, None))),
        (b'{"@timestamp":"soon","message":"m"}', (None, OTHER_LEVEL, ("m", None, None, None))),
        (b"not json", (None, OTHER_LEVEL, (None, None, None, None))),
        (b'{"a":"\xff","message":"m"}', (None, OTHER_LEVEL, ("m", None, None, None))),
    ],
)
def test_an_odd_place_hides_no_other(document: bytes, expected: object) -> None:
    """What is not as it should be is left out; the rest is indexed."""
    assert extract(document) == expected


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-11-22T10:00:00.123Z", TIME_US),
        ("2026-11-22T11:00:00.123456789+01:00", TIME_US + 456),
        ("2026-11-22T10:00:00,123+0000", TIME_US),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("2026-11-22T10:00:00", None),
        ("2026-13-22T10:00:00Z", None),
        ("", None),
    ],
)
def test_times_are_exact_to_the_microsecond(text: str, us: int | None) -> None:
    """A time with a zone is a number; anything else is none."""
    assert micros(text) == us


def test_long_texts_are_indexed_up_to_a_limit() -> None:
    """A huge message costs the index no more than its limit."""
    _, _, (message, *_) = extract(record("a" * (MAX_INDEXED_CHARS + 1)))
    assert message is not None
    assert len(message) == MAX_INDEXED_CHARS


@given(st.binary(max_size=80) | st.text(st.sampled_from('{}[]":,message\\ud800log1-'), max_size=80).map(str.encode))
def test_any_bytes_can_be_indexed(document: bytes) -> None:
    """Whatever the document is, what comes out can be given to SQLite."""
    _, level, text = extract(document)
    assert level
    assert all(item is None or item.encode() is not None for item in text)
