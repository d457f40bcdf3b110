"""Rescued records: valid whatever the document was."""

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.rescue import rescued
from tests.fakes.batches import document

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
PLACES = st.sampled_from(["@timestamp", "message", "event", "ml", "host", "data_stream", "labels", "error", "x"])


def read(document: bytes) -> dict[str, Any]:
    """The rescued form of a document, decoded."""
    assert b"\n" not in document
    value: dict[str, Any] = json.loads(document)
    return value


@given(st.dictionaries(PLACES, JSON).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_any_document_becomes_a_safe_one(raw: bytes) -> None:
    """Whatever the bytes, the safe form is JSON on one line with a time, the id, the reason and the bytes as text."""
    safe = read(rescued("id-1", raw, "refused\nfor \ud800 this"))
    assert datetime.fromisoformat(safe["@timestamp"])
    assert safe["event"]["id"] == "id-1"
    assert safe["event"]["original"] == raw.decode("utf-8", "replace")
    assert safe["error"]["message"] == "refused\nfor ? this"
    assert safe["labels"] == {"rescued": "refused"}


def test_time_and_identity_are_kept() -> None:
    """A rescued record is found where its neighbours are: by time, model, host and data stream."""
    identity = {
        "ml": {"model": {"name": "fraud-scorer", "version": "3.2.0"}, "inputs": {"a": 1}},
        "host": {"name": "node-1"},
        "data_stream": {"type": "logs", "dataset": "modeltail.inference", "namespace": "default"},
        "event": {"created": "2026-11-22T10:00:00.341Z", "severity": "much"},
        "log": {"level": {"not": "text"}, "logger": "scorer"},
    }
    safe = read(rescued("id-1", document(1, **identity), "reason"))
    assert safe["@timestamp"] == "2026-11-22T10:00:00.123456Z"
    assert safe["ml"] == {"model": {"name": "fraud-scorer", "version": "3.2.0"}}
    assert safe["host"] == identity["host"]
    assert safe["data_stream"] == identity["data_stream"]
    assert safe["event"]["created"] == "2026-11-22T10:00:00.341Z"
    assert safe["log"] == {"logger": "scorer"}
    assert safe["message"] == "record 1"


@pytest.mark.parametrize(
    "time",
    [
        "yesterday",
        "2026-02-30T10:00:00Z",
        "2026-13-01T10:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:00:60Z",
        "2026-11-22 10:00:00Z",
        "2026-11-22T10:00:00.1234567890Z",
        "2026-11-22T10:00:00+99:00",
        "٢026-11-22T10:00:00Z",
        17,
        None,
        {},
    ],
)
def test_a_time_nobody_takes_is_replaced_by_the_time_it_was_read(time: object) -> None:
    """A time Elasticsearch would refuse does not come back in the safe form."""
    raw = document(1, event={"created": "2026-11-22T10:00:00.341Z"})
    raw = json.dumps({**json.loads(raw), "@timestamp": time}).encode()
    assert read(rescued("id-1", raw, "reason"))["@timestamp"] == "2026-11-22T10:00:00.341Z"


def test_a_document_is_cut_with_a_marker_where_that_is_asked_for() -> None:
    """What is over the limit is cut at a character, and the record says so."""
    raw = json.dumps({"a": "é" * 1000}, ensure_ascii=False).encode()
    safe = read(rescued("id-1", raw, "reason", 1000))
    assert safe["labels"] == {"rescued": "refused", "truncated": "document"}
    original = safe["event"]["original"].encode()
    assert len(original) in (1000, 999)
    assert raw.startswith(original)


def test_nothing_is_cut_unasked() -> None:
    """However large the document is, all of it is in the rescued record."""
    raw = json.dumps({"a": "é" * 10**6}, ensure_ascii=False).encode()
    safe = read(rescued("id-1", raw, "reason"))
    assert safe["labels"] == {"rescued": "refused"}
    assert safe["event"]["original"].encode() == raw


def test_a_document_with_a_number_of_many_digits_keeps_its_identity() -> None:
    """A number too long for an integer does not make the rest unreadable."""
    raw = b'{"@timestamp":"2026-11-22T10:00:00Z","host":{"name":"h"},"n":' + b"9" * 5000 + b"}"
    assert read(rescued("id-1", raw, "reason"))["host"] == {"name": "h"}
