"""Which frames go into the next batch: those of one data stream, in order, up to a size. Pure."""

from agent.delivery.contract import DeliveryBatch
from agent.queue.frame import Stored


class Batcher:
    """Frames read and not yet sent, in queue order."""

    def __init__(self, max_bytes: int, max_records: int) -> None:
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._pending: list[Stored] = []
        self._bytes = 0
        self._records = 0

    def add(self, stored: list[Stored]) -> None:
        """Frames that were just read."""
        self._pending += stored
        self._bytes += sum(s.frame.raw_len for s in stored)
        self._records += sum(s.frame.count for s in stored)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._pending

    @property
    def is_full(self) -> bool:
        """Whether waiting for more frames would not make the next batch larger."""
        return (
            self._bytes >= self._max_bytes
            or self._records >= self._max_records
            or bool(self._pending and self._pending[-1].frame.stream != self._pending[0].frame.stream)
        )

    @property
    def room_bytes(self) -> int:
        """Bytes of documents still wanted for a full batch."""
        return max(1, self._max_bytes - self._bytes)

    def take(self) -> DeliveryBatch:
        """The next batch, at least one frame."""
        stream = self._pending[0].frame.stream
        size = records = n = 0
        for stored in self._pending:
            size += stored.frame.raw_len
            records += stored.frame.count
            if stored.frame.stream != stream or (n and (size > self._max_bytes or records > self._max_records)):
                break
            n += 1
        taken, self._pending = self._pending[:n], self._pending[n:]
        batch = DeliveryBatch(stream, [s.frame for s in taken], [s.body for s in taken])
        self._bytes -= batch.raw_bytes
        self._records -= batch.count
        return batch
