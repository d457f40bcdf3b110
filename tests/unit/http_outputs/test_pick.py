"""Reading a few places of a document: the quick way and the general one say the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.loki.pick import picker

PLACES = ["@timestamp", "log.level", "log.logger", "a.b.c"]
keys = st.sampled_from(["@timestamp", "log", "level", "logger", "a", "b", "c", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def reference(content: Any, place: str) -> str | None:
    """What stands at a place, said as plainly as can be."""
    for key in place.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    if isinstance(content, bool):
        return str(content).lower()
    return str(content) if isinstance(content, int | str) else None


@given(values)
def test_picked_is_what_stands_there(content: Any) -> None:
    """Whatever the document, and whatever else is in it."""
    assert picker(PLACES)(json.dumps(content).encode()) == tuple(reference(content, place) for place in PLACES)


@given(values)
def test_place_within_a_place_is_read_too(content: Any) -> None:
    """There is no struct for both; they are read all the same."""
    places = ["a", "a.b", "log.level"]
    assert picker(places)(json.dumps(content).encode()) == tuple(reference(content, place) for place in places)
    assert picker(places[::-1])(json.dumps(content).encode()) == tuple(reference(content, p) for p in places[::-1])


@pytest.mark.parametrize("document", [b"", b"[]", b"no json", b'{"a":' * 100_000, b"\xff\xfe", b'{"log":{"level":"x"'])
def test_what_is_no_document_has_nothing(document: bytes) -> None:
    """And breaks nothing."""
    assert picker(PLACES)(document) == (None, None, None, None)


def test_places_are_found_in_a_deep_document() -> None:
    """Beside what is nested more deeply than anybody can follow."""
    document = b'{"log":{"level":"info"},"x":' + b"[" * 900 + b"]" * 900 + b"}"
    assert picker(PLACES)(document)[1] == "info"
