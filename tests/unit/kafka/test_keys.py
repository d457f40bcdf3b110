"""What of a document becomes key and headers, and which partition it goes to."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.kafka.keys import key_of
from agent.outputs.kafka.plan import plan
from agent.outputs.kafka.record_batch import Keyed, header
from agent.outputs.source import value_at

FULL: dict[str, Any] = {
    "message": 'says "ml":{"model":{"name":"a liar"}}',
    "ml": {"inputs": {"model": {"name": "another liar"}}, "model": {"name": "fraud-scorer", "version": "3.2.0"}},
    "log": {"file": {"path": "/logs/a.log"}},
    "host": {"name": "node-1"},
    "labels": {"a.b": "dotted", "é": "ü"},
    "fields": {"n": 1.10, "who": {"id": 7}, "nothing": None},
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("none", None),
        ("model", b"fraud-scorer"),
        ("source", b"node-1:/logs/a.log"),
        ("field:host.name", b"node-1"),
        ("field:labels.a.b", b"dotted"),
        ("field:labels.é", "ü".encode()),
        ("field:fields.n", b"1.10"),
        ("field:fields.who", b'{"id": 7}'),
        ("field:fields.nothing", None),
        ("field:fields.missing", None),
        ("field:message.within", None),
    ],
)
def test_key_is_what_was_asked_for(key: str, expected: bytes | None) -> None:
    """A string's text, any other value as it is written; the headers name the record's own model whatever the key."""
    document = json.dumps(FULL).replace("1.1,", "1.10,").encode()
    found = key_of(key)(document)
    assert found.key == expected
    assert found.headers == header("ml.model.name", b"fraud-scorer") + header("ml.model.version", b"3.2.0")
    assert found.count == 2


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (b"{}", None),
        (b'{"host":{"name":"h"}}', b"h"),
        (b'{"log":{"file":{"path":"/p"}},"host":{}}', b"/p"),
        (b'{"host":{"name":"h"},"message":"\\ud83d"}', b"h"),
        (b'{"host":{"name":"h"},"fields":' + b"[" * 5000 + b"]" * 5000 + b"}", None),
        (b'{"host":{"name":3}}', None),
        (b"no json", None),
    ],
)
def test_odd_documents_have_what_can_be_found(document: bytes, key: bytes | None) -> None:
    """Nothing in a document can keep it from being sent: what cannot be found is left out."""
    assert key_of("source")(document) == Keyed(key, b"", 0)


@given(st.text())
def test_value_of_a_place_is_any_text(text: str) -> None:
    """As UTF-8, whatever it was written as."""
    for ascii_only in (True, False):
        document = json.dumps({"labels": {"who": text}}, ensure_ascii=ascii_only).encode()
        assert value_at(document, "labels.who") == text.encode()


@given(
    st.lists(st.tuples(st.integers(1, 3000), st.none() | st.integers(0, 5)), max_size=60),
    st.integers(1, 7),
    st.integers(1, 8000),
)
def test_every_record_is_in_one_part_and_parts_are_small(
    records: list[tuple[int, int | None]], partitions: int, largest: int
) -> None:
    """In queue order within a partition, one key in one partition, no larger than asked for unless it is a single
    record, and no more parts than that takes."""
    documents = [b"x" * size for size, _ in records]
    keyed = [Keyed(None if key is None else b"key-%d" % key, b"", 0) for _, key in records]
    parts = plan(documents, keyed, range(partitions), partitions - 1, largest)
    by_partition: dict[int, list[int]] = {}
    for part in parts:
        by_partition.setdefault(part.partition, []).extend(part.indexes)
        assert len(part.indexes) == 1 or sum(len(documents[i]) for i in part.indexes) <= largest
    assert sorted(i for indexes in by_partition.values() for i in indexes) == list(range(len(records)))
    assert all(indexes == sorted(indexes) for indexes in by_partition.values())
    where: dict[bytes | None, set[int]] = {}
    for partition, indexes in by_partition.items():
        for i in indexes:
            where.setdefault(keyed[i].key, set()).add(partition)
    assert all(len(places) == 1 for places in where.values())
    assert where.get(None, {partitions - 1}) == {partitions - 1}


def test_long_keys_are_not_remembered() -> None:
    """A key may be any field, and any size: what is kept of keys seen is small."""
    tracemalloc.start()
    try:
        for n in range(10, 40):
            plan([b"{}"], [Keyed(b"%d" % n * 1000, b"", 0)], range(3), 0)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
