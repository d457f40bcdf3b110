"""Many documents in one record, in the format of the Kinesis Producer Library. Pure.

The source is ``aggregation-format.md`` of awslabs/amazon-kinesis-producer::

    f3 89 9a c2   mark
    ...           a protobuf message AggregatedRecord:
                      repeated string partition_key_table = 1
                      repeated Record records = 3, each  required uint64 partition_key_index = 1
                                                         required bytes data = 3
    ...           MD5 of that message, 16 bytes

All documents of a record have its own partition key, so the table has one entry, at index 0.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from agent.varint import varint

MARK: Final = b"\xf3\x89\x9a\xc2"

_KEY_TABLE: Final = b"\x0a"
"""Field 1, a length and bytes."""
_RECORD: Final = b"\x1a"
_KEY_0_THEN_DATA: Final = b"\x08\x00\x1a"
"""Field 1, the number 0; then field 3, a length and bytes."""


def aggregated(documents: Iterable[bytes], key: str) -> bytes:
    """The record of these documents."""
    table = key.encode()
    pieces = [_KEY_TABLE, varint(len(table)), table]
    for document in documents:
        head = _KEY_0_THEN_DATA + varint(len(document))
        pieces += (_RECORD, varint(len(head) + len(document)), head, document)
    message = b"".join(pieces)
    return b"".join((MARK, message, hashlib.md5(message, usedforsecurity=False).digest()))
