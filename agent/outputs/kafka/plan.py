"""Which records of a batch go to which partition, in which order, as record batches. Pure."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from aiokafka.partitioner import murmur2

from agent.outputs.kafka.record_batch import Keyed

LARGEST_BATCH_BYTES: Final = 1_000_000
"""Uncompressed. What brokers take unless told otherwise (``message.max.bytes``) is a little more."""
_OVERHEAD_BYTES: Final = 200
"""Of a record beside key and document: lengths, the id, the model's name and version, roughly."""

_LONGEST_KNOWN: Final = 256
_known: Final = lru_cache(maxsize=4096)(murmur2)


class Part(msgspec.Struct):
    """Records for one partition, by their index in the batch, in one record batch."""

    partition: int
    indexes: Sequence[int]


def plan(
    documents: Sequence[bytes],
    keyed: Sequence[Keyed],
    every: Sequence[int],
    free: int,
    largest_bytes: int = LARGEST_BATCH_BYTES,
) -> list[Part]:
    """The parts, in queue order within each partition. ``every`` are the topic's partitions; a key decides as in the
    Java client, and records without one go to ``free``. A part is larger than ``largest_bytes`` only where a single
    record is."""
    parts: list[Part] = []
    open_parts: dict[int, tuple[list[int], int]] = {}
    for i, (document, beside) in enumerate(zip(documents, keyed, strict=True)):
        key = beside.key
        partition = free if key is None else every[(_hash(key) & 0x7FFFFFFF) % len(every)]
        size = len(document) + _OVERHEAD_BYTES + (0 if key is None else len(key))
        indexes, filled = open_parts.get(partition, (None, 0))
        if indexes is None or filled + size > largest_bytes:
            indexes, filled = [], 0
            parts.append(Part(partition, indexes))
        indexes.append(i)
        open_parts[partition] = (indexes, filled + size)
    return parts


def _hash(key: bytes) -> int:
    """Long keys are not kept for the next time: there may be megabytes of each."""
    number: int = _known(key) if len(key) <= _LONGEST_KNOWN else murmur2(key)
    return number
