"""Records joined in the format of the Kinesis Producer Library.

    F3 89 9A C2 | protobuf message AggregatedRecord | MD5 of the message, 16 bytes

    AggregatedRecord: 1 partition keys, 2 explicit hash keys, 3 repeated Record
    Record:           1 index of its partition key, 2 of its hash key, 3 data, 4 tags

Described in ``aggregation-format.md`` of awslabs/amazon-kinesis-producer.
"""

import hashlib
from collections.abc import Iterator

MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_RECORDS = 3
_DATA = 3
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT = 63


def user_records(data: bytes) -> list[bytes]:
    """The data of the records that are joined in one. Raises ``ValueError`` when it is damaged."""
    message, digest = data[len(MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.md5(message, usedforsecurity=False).digest() != digest:
        raise ValueError("the checksum of the joined records does not hold")
    return [_data(record) for number, record in _fields(message) if number == _RECORDS]


def _data(record: bytes) -> bytes:
    found = [value for number, value in _fields(record) if number == _DATA]
    if not found:
        raise ValueError("a joined record has no data")
    return found[-1]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each field that has bytes; the others are stepped over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, start = tag & 7, at
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            length, start = _varint(message, at)
            at = start + length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"the joined records have a field of unknown kind {kind}")
        if at > len(message):
            raise ValueError("the joined records end in the middle of a field")
        if kind == _BYTES:
            yield tag >> 3, message[start:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        if at >= len(message):
            raise ValueError("the joined records end in the middle of a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("the joined records hold a number that is too long")
