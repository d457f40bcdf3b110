"""Documents in Kinesis records and out of them again, with and without trouble of size."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.kinesis.keys import key_of
from agent.outputs.kinesis.pack import Aggregation, Packer
from tests.servers.aws_api import documents_in

AGGREGATIONS: list[Aggregation] = ["gzip", "kpl", "none"]
documents_of_any_size = st.lists(st.binary(min_size=1, max_size=400).map(lambda b: b.hex().encode()), max_size=40)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@given(
    documents=documents_of_any_size,
    record_bytes=st.integers(1, 2000),
    max_bytes=st.integers(64, 2000),
    partition_key=st.sampled_from(["random", "field:a"]),
)
def test_every_document_is_in_one_record_that_fits_or_is_too_large(
    aggregation: Aggregation, documents: list[bytes], record_bytes: int, max_bytes: int, partition_key: str
) -> None:
    """Byte for byte, in queue order within a record, however small the limit; only what is alone is too large."""
    packed, too_large = Packer(aggregation, record_bytes, partition_key).pack(documents, max_bytes)
    places = [i for record in packed for i in record.indexes] + list(too_large)
    assert sorted(places) == list(range(len(documents)))
    for record in packed:
        assert record.size <= max_bytes
        assert 1 <= len(record.key) <= 256
        assert documents_in(record.data) == [documents[i] for i in record.indexes]
    for i in too_large:
        (alone,), _ = Packer(aggregation, record_bytes, partition_key).pack([documents[i]], 10_000)
        assert alone.size > max_bytes


def test_documents_share_a_record_up_to_the_size_asked_for() -> None:
    """As many neighbours as fit, before compression; never two where one is enough."""
    packed, _ = Packer("gzip", 100, "random").pack([b"x" * 39, b"x" * 39, b"x" * 39, b"x" * 500, b"x"], 1000)
    assert [list(record.indexes) for record in packed] == [[0, 1], [2], [3], [4]]


def test_incompressible_documents_are_spread_over_more_records() -> None:
    """What does not fit once it is compressed is halved until it does."""
    documents = [os.urandom(300).hex().encode() for _ in range(16)]
    packed, too_large = Packer("gzip", 1024**2, "random").pack(documents, 2000)
    assert not too_large
    assert len(packed) > 2
    assert [document for record in packed for document in documents_in(record.data)] == documents


def test_random_keys_differ_from_record_to_record_and_from_try_to_try() -> None:
    """What one shard throttles may go to another."""
    packer = Packer("none", 1, "random")
    keys = [record.key for _ in range(2) for record in packer.pack([b"{}"] * 50, 1000)[0]]
    assert len(set(keys)) == 100


def test_documents_of_one_key_share_records_and_no_others_do() -> None:
    """The key is the record's, so that it decides the shard of all that is in it."""
    documents = [b'{"a":"%d"}' % (n % 3) for n in range(9)]
    packed, _ = Packer("kpl", 1024, "field:a").pack(documents, 1000)
    assert {record.key: list(record.indexes) for record in packed} == {"0": [0, 3, 6], "1": [1, 4, 7], "2": [2, 5, 8]}


@pytest.mark.parametrize(
    ("document", "strategy", "key"),
    [
        (b'{"host":{"name":"h"},"log":{"file":{"path":"/a b"}}}', "source", "h /a b"),
        (b'{"host":{"name":"h"}}', "source", "h"),
        (b'{"ml":{"model":{"name":"fraud"}}}', "model", "fraud"),
        (b'{"fields":{"b.c":1.10}}', "field:fields.b.c", "1.10"),
        (b'{"a.b":{"c":true}}', "field:a.b.c", ""),
        (b'{"labels":{"b.c":[1, 2]}}', "field:labels.b.c", "[1, 2]"),
        (b'{"a":{"b":{"c":"caf\\u00e9"}}}', "field:a.b.c", "caf\u00e9"),
        (b'{"a":{"b":{"c":null}}}', "field:a.b.c", ""),
        (b'{"a":{"b":""}}', "field:a.b", ""),
        (b'{"a":{"b":"\\ud800"}}', "field:a.b", ""),
        (b'{"a":7}', "field:a.b.c", ""),
        (b"no json", "field:a", ""),
        (b'{"a":"' + b"k" * 300 + b'"}', "field:a", "k" * 256),
    ],
)
def test_key_is_what_stands_at_the_place(document: bytes, strategy: str, key: str) -> None:
    """Its text, up to the 256 characters a key may have; nothing where there is nothing, which is then random."""
    find = key_of(strategy)
    assert find is not None
    assert find(document) == key


def test_random_looks_at_no_document() -> None:
    """What has no key gets one that says nothing."""
    assert key_of("random") is None
    (record,), _ = Packer("gzip", 1024, "field:a").pack([b"{}"], 1000)
    assert len(record.key) == 16
