"""The delivery loop: one per output, the same for all. Batches are gathered here and their frames finished here; what
happens to them in between is decided in ``settle`` (split, rescue, give up on a record) and ``sender`` (retry, wait).

Records an output does not want (``when``) are not sent; they are finished with the others of their frame. An output
that keeps the position itself (``Transactional``) is sent even an empty batch: when the agent comes back, its position
is what counts, and may not lie behind frames that are gone by then.

A batch holds its slot and its memory until each of its records has a fate: delivered, rescued or dead-lettered. So a
dead server cannot make anything grow. Frames are finished in the queue only when all their records have a fate; a crash
before that sends them again under the same ids.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from agent.delivery.batcher import Batcher
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Output, Transactional
from agent.delivery.sender import GaveUp, Sender
from agent.delivery.settle import RESCUED, Dead, Fates, Settling
from agent.delivery.wanted import Wanted, all_of
from agent.log import Log
from agent.queue.cursor import Cursor, Range, decode_cursor, encode_cursor
from agent.queue.frame import Frame
from agent.queue.queue import Queue
from agent.queue.subscription import Subscription

if TYPE_CHECKING:
    from agent.delivery.dead_letters.letter import DeadLetter
    from agent.delivery.when import When

DELIVERED = "delivered"
DEAD_LETTERED = "dead_lettered"
FILTERED = "filtered.when"

_log = Log("delivery")


class KeepsLetters(Protocol):
    """Where records go that were refused for good."""

    def put(self, letters: "list[DeadLetter]") -> None:
        """Keep them, durably. Blocking. Raises ``OSError``; then none counts as kept."""
        ...


class DeliveryLoop:
    """Takes frames from a subscription to an output until told to stop, or for ever. With ``when``, only the records
    it wants are sent."""

    def __init__(
        self,
        output: Output,
        queue: Queue,
        subscription: Subscription,
        config: DeliveryConfig,
        dead_letters: KeepsLetters,
        when: "When | None" = None,
    ) -> None:
        self._sender = Sender(output, queue, subscription, config)
        self.state = self._sender.state
        self.limit = self._sender.limit
        self.subscription = subscription
        self._output = output
        self._queue = queue
        self._config = config
        self._dead_letters = dead_letters
        self._when = when
        self._keeps_cursor = isinstance(output, Transactional)
        self._batcher = Batcher(config.batch_bytes, config.batch_records, ordered=output.ordered)
        self._stopping = self._sender.stopping
        self._gave_up = False
        self._hurry_to = 0
        self._last_sent = float("-inf")

    def finish(self) -> None:
        """Deliver what is in the queue, cutting every back-off short; at the first failure leave the rest there.
        ``run`` then returns."""
        self._stopping.set()
        self._queue.wake_readers()

    def hurry(self) -> None:
        """Send what is in the queue now without waiting for company: none is expected."""
        self._hurry_to = self._queue.total
        self._queue.wake_readers()

    async def run(self) -> None:
        """Deliver until ``finish`` is called and the queue is empty or the output fails. Cancelling leaves what is in
        flight in the queue."""
        async with asyncio.TaskGroup() as deliveries:
            while True:
                await self.limit.acquire()
                if not await self._gather():
                    self.limit.release()
                    return
                deliveries.create_task(self._deliver(self._batcher.take()))

    # Gathering.

    async def _gather(self) -> bool:
        """Wait until a batch is worth sending. False when stopping and nothing is left, or nothing can be sent."""
        deadline: float | None = None
        while not (self._gave_up or self._batcher.is_full):
            changed = self._queue.visible_changed
            self._batcher.add(await self.subscription.read_now(self._batcher.room_bytes), time.monotonic())
            if self._batcher.is_full or changed.is_set():
                continue
            if self._stopping.is_set():
                return not self._batcher.is_empty
            if self._batcher.is_empty:
                await changed.wait()
                continue
            if self._batcher.first < self._hurry_to:
                break
            # Company is worth waiting for only when sending often: after a pause the first records go at once.
            now = time.monotonic()
            age = self._config.batch_age
            deadline = deadline or min(max(self._last_sent + age, now), self._batcher.waiting_since + age)
            if deadline <= now:
                break
            self.state.gathering = True
            try:
                async with asyncio.timeout(deadline - now):
                    await changed.wait()
            except TimeoutError:
                continue
            finally:
                self.state.gathering = False
        return not self._gave_up

    # Delivering.

    async def _deliver(self, batch: DeliveryBatch) -> None:
        """Give every record of the batch a fate, then finish its frames."""
        try:
            self._last_sent = time.monotonic()
            # What an earlier process may have sent, nobody here knows.
            batch.in_doubt = any(frame.run != self._queue.run for frame in batch.frames)
            wanted = all_of(batch) if self._when is None else await asyncio.to_thread(self._when.of, batch)
            fates = Fates()
            if wanted.places or self._keeps_cursor:
                if self._output.ordered:
                    wanted.batch.cursor_after = self._cursor_after(batch, wanted)
                settling = Settling(wanted.batch, self._output, self._sender, self.subscription, self._config)
                fates = await settling.run()
            if fates.dead:
                await self._bury(batch, wanted, fates)
            else:
                self._finish(batch, wanted, fates)
        except GaveUp:
            self._gave_up = True
        finally:
            self.limit.release()

    async def _bury(self, batch: DeliveryBatch, wanted: Wanted, fates: Fates) -> None:
        """Keep the refused records as dead letters and finish the batch. Both or neither, also when cancelled: a dead
        letter whose frame is sent again would be there twice, or delivered too."""
        letters = self._letters(wanted.batch, fates.dead)
        _log.error("Records were refused for good and are kept as dead letters", output=self._output.id,
                   records=len(letters), reason=letters[0].reason)  # fmt: skip
        trouble: str | None = None
        while True:
            writing = asyncio.ensure_future(asyncio.to_thread(self._dead_letters.put, letters))
            try:
                try:
                    await asyncio.shield(writing)
                except asyncio.CancelledError:
                    await asyncio.wait([writing])
                    if writing.exception() is None:
                        self._finish(batch, wanted, fates)
                    raise
                if trouble is not None and self.state.trouble == trouble:
                    self.state.trouble = None
                return self._finish(batch, wanted, fates)
            except OSError as error:
                _log.error("Dead letters cannot be written; the records stay in the queue", error=str(error))
                self.state.trouble = trouble = f"dead letters cannot be written: {error}"
                if self._stopping.is_set():
                    raise GaveUp from error
                await self._sender.sleep(self._config.backoff_initial)

    def _letters(self, batch: DeliveryBatch, dead: dict[int, Dead]) -> "list[DeadLetter]":
        from agent.delivery.dead_letters.letter import dead_letter

        ids, documents = batch.ids(), batch.documents()
        return [
            dead_letter(self._output.id, ids[i], batch.stream, end.reason, end.attempts, documents[i])
            for i, end in sorted(dead.items())
        ]

    def _finish(self, batch: DeliveryBatch, wanted: Wanted, fates: Fates) -> None:
        first = 0
        for frame, count in zip(batch.frames, wanted.by_frame, strict=True):
            by_fate = _whole(count, frame.count)
            if fates.rescued or fates.dead:
                here = range(first, first + count)
                by_fate[RESCUED] = sum(i in here for i in fates.rescued)
                by_fate[DEAD_LETTERED] = sum(i in here for i in fates.dead)
                by_fate[DELIVERED] -= by_fate[RESCUED] + by_fate[DEAD_LETTERED]
            first += count
            self.subscription.finish(_range(frame), by_fate)

    def _cursor_after(self, batch: DeliveryBatch, wanted: Wanted) -> bytes:
        cursor: Cursor = decode_cursor(encode_cursor(self.subscription.cursor))
        for frame, count in zip(batch.frames, wanted.by_frame, strict=True):
            cursor.finish(_range(frame), _whole(count, frame.count))
        return encode_cursor(cursor)


def _whole(wanted: int, count: int) -> dict[str, int]:
    """The fates of a frame's records when all that are wanted are taken."""
    return {DELIVERED: wanted, FILTERED: count - wanted}


def _range(frame: Frame) -> Range:
    return Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
