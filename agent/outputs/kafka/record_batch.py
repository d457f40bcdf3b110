"""Kafka's record batch (magic 2), as ``DefaultRecordBatch`` in Apache Kafka describes it. Pure.

    baseOffset 8 · batchLength 4 · partitionLeaderEpoch 4 · magic 1 · crc 4 · attributes 2 · lastOffsetDelta 4
    baseTimestamp 8 · maxTimestamp 8 · producerId 8 · producerEpoch 2 · baseSequence 4 · recordCount 4 · records

    record: length · attributes 1 · timestampDelta · offsetDelta · key · value · headers, lengths as zigzag varints

The CRC-32C covers all behind it, the records as they are sent: compressed. All records of a batch have one time.
aiokafka's own encoder compresses at zlib's slowest level, on the event loop.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from agent.errors import Paused
from agent.outputs.gzip import gzipped
from agent.outputs.kafka.config import Compression
from agent.varint import varint

SEQUENCES: Final = 2**31
"""Sequence numbers begin again at 0 behind the last that fits 31 bits."""

_HEAD: Final = struct.Struct(">qiibI")
_BODY: Final = struct.Struct(">hiqqqhii")
_LENGTH_STARTS_BEHIND: Final = 12
_MAGIC: Final = 2
_NO_LEADER_EPOCH: Final = -1
_ATTRIBUTES: Final = {"none": 0, "gzip": 1, "zstd": 4}


def signed_varint(number: int) -> bytes:
    """A number that is not negative, where one might be (zigzag)."""
    return varint(number << 1)


_NULL: Final = b"\x01"
_VARINTS: Final = [signed_varint(number) for number in range(4096)]


def _varint(number: int) -> bytes:
    return _VARINTS[number] if number < 4096 else signed_varint(number)


class Keyed(msgspec.Struct):
    """What a record has beside its value: its key, and headers as they stand on the wire behind the id's."""

    key: bytes | None
    headers: bytes
    """The encoded headers beside ``event.id``, each a name and a value."""
    count: int
    """How many headers that is."""


def header(name: str, value: bytes) -> bytes:
    """One header on the wire."""
    return _varint(len(name)) + name.encode() + _varint(len(value)) + value


_ID_NAME: Final = _varint(len("event.id")) + b"event.id"


def records_of(ids: Sequence[str], documents: Sequence[bytes], keyed: Sequence[Keyed]) -> bytes:
    """The records of a batch on the wire, uncompressed."""
    out: list[bytes] = []
    for i, (record, document, beside) in enumerate(zip(ids, documents, keyed, strict=True)):
        key, name = beside.key, record.encode()
        parts = (
            b"\0\0", _varint(i), _NULL if key is None else _varint(len(key)) + key, _varint(len(document)), document,
            _varint(beside.count + 1), _ID_NAME, _varint(len(name)), name, beside.headers,
        )  # fmt: skip
        body = b"".join(parts)
        out.append(_varint(len(body)))
        out.append(body)
    return b"".join(out)


def compressor(compression: Compression) -> Callable[[bytes], bytes]:
    """What makes records smaller. Raises ``Paused`` when its library is missing."""
    if compression == "zstd":
        try:
            import zstandard
        except ImportError as error:
            raise Paused("`compression: zstd` needs the extra `zstd`: pip install 'modeltail[zstd]'") from error
        return lambda data: zstandard.compress(data, 3)  # its objects are not to be shared among threads
    return gzipped if compression == "gzip" else bytes


class RecordBatch(msgspec.Struct):
    """Records as they are sent, but for who sends them and as which."""

    count: int
    time_ms: int
    attributes: int
    records: bytes

    def sent_by(self, producer: int, epoch: int, sequence: int, crc32c: Callable[[bytes], int]) -> bytes:
        """The batch of this producer, its first record with this sequence number."""
        last = self.count - 1
        time = self.time_ms
        body = _BODY.pack(self.attributes, last, time, time, producer, epoch, sequence, self.count) + self.records
        length = _HEAD.size + len(body) - _LENGTH_STARTS_BEHIND
        return _HEAD.pack(0, length, _NO_LEADER_EPOCH, _MAGIC, crc32c(body)) + body


def record_batch(
    ids: Sequence[str],
    documents: Sequence[bytes],
    keyed: Sequence[Keyed],
    time_ms: int,
    compression: Compression,
    compress: Callable[[bytes], bytes],
) -> RecordBatch:
    """A batch of these records, at least one."""
    return RecordBatch(len(ids), time_ms, _ATTRIBUTES[compression], compress(records_of(ids, documents, keyed)))
