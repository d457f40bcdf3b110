"""What an output wants of a batch."""

from collections.abc import Sequence

import msgspec

from agent.delivery.contract import DeliveryBatch


class Wanted(msgspec.Struct):
    """``places`` are the indexes in the whole batch of the records of ``batch``, which is the whole batch itself, as it
    lies, when all of it is wanted. ``by_frame`` says how many they are of each frame of the whole."""

    batch: DeliveryBatch
    places: Sequence[int]
    by_frame: Sequence[int]


def all_of(batch: DeliveryBatch) -> Wanted:
    """Everything."""
    return Wanted(batch, range(batch.count), [frame.count for frame in batch.frames])
