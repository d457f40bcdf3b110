"""The record batch, read back by aiokafka, which has a decoder of its own."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c, decode_varint
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.kafka.config import Compression
from agent.outputs.kafka.record_batch import Keyed, compressor, header, record_batch, records_of, signed_varint

RECORDS = st.lists(
    st.tuples(
        st.text(max_size=40),
        st.binary(max_size=5000),
        st.none() | st.binary(max_size=300),
        st.none() | st.binary(max_size=300),
    ),
    min_size=1,
    max_size=50,
)


@given(st.integers(0, 2**31 - 1))
def test_varint_is_read_back(number: int) -> None:
    """By aiokafka's own decoder, to its last byte."""
    text = signed_varint(number)
    assert decode_varint(bytearray(text), 0) == (number, len(text))


@pytest.mark.parametrize("compression", ["none", "gzip"])
@given(records=RECORDS, producer=st.integers(0, 2**63 - 1), sequence=st.integers(0, 2**31 - 1))
def test_batch_is_read_back(
    compression: Compression,
    records: list[tuple[str, bytes, bytes | None, bytes | None]],
    producer: int,
    sequence: int,
) -> None:
    """Every record with its key, id, headers and place; the head with producer, sequence and a good checksum."""
    keyed = [
        Keyed(key, b"" if model is None else header("ml.model.name", model), int(model is not None))
        for _, _, key, model in records
    ]
    batch = record_batch(
        [r[0] for r in records], [r[1] for r in records], keyed, 1_800_000_000_123, compression, compressor(compression)
    )
    read = DefaultRecordBatch(bytearray(batch.sent_by(producer, 3, sequence, calc_crc32c)))
    assert read.validate_crc()
    assert (read.producer_id, read.producer_epoch, read.base_sequence) == (producer, 3, sequence)
    assert not read.is_transactional
    found = list(read)
    assert [record.offset for record in found] == list(range(len(records)))
    assert {record.timestamp for record in found} == {1_800_000_000_123}
    for record, (name, document, key, model) in zip(found, records, strict=True):
        more = [] if model is None else [("ml.model.name", model)]
        assert (record.value, record.key) == (document, key)
        assert record.headers == [("event.id", name.encode()), *more]


def test_zstd_holds_the_same_records() -> None:
    """Unpacked by the library itself: aiokafka would need another one."""
    import zstandard

    documents = [b'{"n":%d}' % n for n in range(100)]
    ids, keyed = ["id"] * 100, [Keyed(None, b"", 0)] * 100
    packed = record_batch(ids, documents, keyed, 0, "zstd", compressor("zstd")).records
    assert zstandard.decompress(packed) == records_of(ids, documents, keyed)
