"""Which frames go into the next batch: those of one data stream, in order, up to a size. Pure."""

from agent.delivery.contract import DeliveryBatch
from agent.queue.frame import Stored


class Batcher:
    """Frames read and not yet sent. An ``ordered`` one gives them out in queue order; another takes a batch from among
    the frames of other data streams, the oldest frame's first, so that streams that take turns do not make small
    batches of each other."""

    def __init__(self, max_bytes: int, max_records: int, *, ordered: bool = True) -> None:
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._ordered = ordered
        self._pending: list[Stored] = []
        self._since: dict[str, float] = {}
        self._bytes = 0
        self._records = 0

    def add(self, stored: list[Stored], now: float = 0.0) -> None:
        """Frames that were just read."""
        self._pending += stored
        self._bytes += sum(s.frame.raw_len for s in stored)
        self._records += sum(s.frame.count for s in stored)
        for s in stored:
            self._since.setdefault(s.frame.stream, now)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._pending

    @property
    def is_full(self) -> bool:
        """Whether it is time for the next batch, however young it is."""
        return (
            self._bytes >= self._max_bytes
            or self._records >= self._max_records
            or (self._ordered and len(self._since) > 1 and self._pending[-1].frame.stream != self._next_stream)
        )

    @property
    def room_bytes(self) -> int:
        """Bytes of documents still wanted for a full batch."""
        return max(1, self._max_bytes - self._bytes)

    @property
    def waiting_since(self) -> float:
        """When the next batch was begun. Not to be asked when empty."""
        return self._since[self._next_stream]

    @property
    def first(self) -> int:
        """How many records lie before the next batch, in the queue's count. Not to be asked when empty."""
        return self._pending[0].frame.total

    @property
    def _next_stream(self) -> str:
        return self._pending[0].frame.stream

    def take(self) -> DeliveryBatch:
        """The next batch, at least one frame."""
        stream = self._next_stream
        size = records = 0
        taken: list[Stored] = []
        left: list[Stored] = []
        for i, stored in enumerate(self._pending):
            frame = stored.frame
            if frame.stream != stream and not self._ordered:
                left.append(stored)
                continue
            size += frame.raw_len
            records += frame.count
            if frame.stream != stream or (taken and (size > self._max_bytes or records > self._max_records)):
                left += self._pending[i:]
                break
            taken.append(stored)
        self._pending = left
        if all(stored.frame.stream != stream for stored in left):
            del self._since[stream]
        batch = DeliveryBatch(stream, [s.frame for s in taken], [s.body for s in taken])
        self._bytes -= batch.raw_bytes
        self._records -= batch.count
        return batch
