"""Documents in Firehose records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.firehose.output import MAX_DOCUMENTS, MAX_RECORD_BYTES, pack


@given(st.lists(st.binary(min_size=1, max_size=50).map(lambda b: b.hex().encode()), max_size=60), st.integers(1, 300))
def test_records_joined_are_the_documents_one_a_line(documents: list[bytes], record_bytes: int) -> None:
    """As Firehose puts them into an object, one record behind the other."""
    packed, too_large = pack(documents, record_bytes)
    assert not too_large
    assert b"".join(record.data for record in packed) == b"".join(document + b"\n" for document in documents)
    assert [i for record in packed for i in record.indexes] == list(range(len(documents)))
    assert all(len(record.data) <= record_bytes or len(record.indexes) == 1 for record in packed)


@pytest.mark.parametrize(("size", "fits"), [(MAX_RECORD_BYTES - 1, True), (MAX_RECORD_BYTES, False)])
def test_line_of_more_than_a_thousand_kilobytes_is_too_large(size: int, fits: bool) -> None:
    """The newline counts; its neighbours are not to blame."""
    packed, too_large = pack([b"a", b"x" * size, b"b"], 1000)
    assert [list(record.indexes) for record in packed] == ([[0], [1], [2]] if fits else [[0], [2]])
    assert list(too_large) == ([] if fits else [1])


def test_record_holds_no_more_documents_than_firehose_takes_apart() -> None:
    """However short they are."""
    packed, _ = pack([b"{}"] * (2 * MAX_DOCUMENTS + 1), MAX_RECORD_BYTES)
    assert [len(record.indexes) for record in packed] == [MAX_DOCUMENTS, MAX_DOCUMENTS, 1]
