"""The delivery loop: one per output, the same for all. Every decision to retry, split, rescue or give up on a record is
made here.

A batch holds its slot and its memory until each of its records has a fate: delivered, rescued or dead-lettered. So a
dead server cannot make anything grow. Frames are finished in the queue only when all their records have a fate; a crash
before that sends them again under the same ids.
"""

import asyncio
import contextlib
import time

import msgspec

from agent.delivery.batcher import Batcher
from agent.delivery.concurrency import ConcurrencyLimit
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.delivery.dead_letters import DeadLetters, dead_letter
from agent.errors import NoAnswer, Paused, Refused, Retryable, TooLarge
from agent.log import Log
from agent.queue.cursor import Cursor, Range, decode_cursor, encode_cursor
from agent.queue.queue import Queue
from agent.queue.subscription import Subscription

DELIVERED = "delivered"
RESCUED = "rescued"
DEAD_LETTERED = "dead_lettered"

_log = Log("delivery")

Fates = dict[int, str]
"""What became of the records of a batch, by index; one that is not in it was delivered."""


class GaveUp(Exception):
    """Stopping: the one attempt that was left failed too. The frames stay in the queue."""


class DeliveryState(msgspec.Struct):
    """How delivery is doing, for the status page. ``trouble`` is the last failure while it lasts; ``sent_at`` the
    monotonic time of the last good answer."""

    trouble: str | None = None
    paused: bool = False
    sent_at: float | None = None
    requests: int = 0
    failures: int = 0


class DeliveryLoop:
    """Takes frames from a subscription to an output until told to stop, or for ever."""

    def __init__(
        self,
        output: Output,
        queue: Queue,
        subscription: Subscription,
        config: DeliveryConfig,
        dead_letters: DeadLetters,
    ) -> None:
        self.state = DeliveryState()
        self.limit = ConcurrencyLimit(1 if output.ordered else config.max_concurrency)
        self.subscription = subscription
        self._output = output
        self._queue = queue
        self._config = config
        self._dead_letters = dead_letters
        self._batcher = Batcher(config.batch_bytes, config.batch_records)
        self._stopping = asyncio.Event()
        self._gave_up = False
        self._last_sent = 0.0

    def finish(self) -> None:
        """Deliver what is in the queue, cutting every back-off short; at the first failure leave the rest there.
        ``run`` then returns."""
        self._stopping.set()
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
            self._batcher.add(await self.subscription.read_now(self._batcher.room_bytes))
            if self._batcher.is_full or changed.is_set():
                continue
            if self._stopping.is_set():
                return not self._batcher.is_empty
            if self._batcher.is_empty:
                await changed.wait()
                continue
            # Company is worth waiting for only when sending often: after a pause the first records go at once.
            now = time.monotonic()
            deadline = deadline or max(self._last_sent + self._config.batch_age, now)
            if deadline <= now:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline - now):
                    await changed.wait()
        return not self._gave_up

    # Delivering.

    async def _deliver(self, batch: DeliveryBatch) -> None:
        """Give every record of the batch a fate, then finish its frames."""
        try:
            self._last_sent = time.monotonic()
            # What an earlier process may have sent, nobody here knows.
            batch.in_doubt = any(frame.run != self._queue.run for frame in batch.frames)
            if self._output.ordered:
                batch.cursor_after = self._cursor_after(batch)
            fates = await self._settle(batch)
            self._finish(batch, fates)
        except GaveUp:
            self._gave_up = True
        finally:
            self.limit.release()

    async def _settle(self, batch: DeliveryBatch) -> Fates:
        """The fate of every record, however long it takes. Raises ``GaveUp`` when stopping."""
        if batch.count > 1 and batch.raw_bytes > 2 * self._config.batch_bytes and not batch.cursor_after:
            return await self._halves(batch)
        try:
            outcome, batch = await self._attempts(batch)
        except (TooLarge, Refused) as refusal:
            if batch.count > 1:
                return await self._halves(batch)
            outcome = Outcome(rejected={0: str(refusal)})
        self.subscription.note({"duplicates": outcome.duplicates, "failure_store": outcome.failure_store})
        self._look_for_repeats(batch, outcome)
        fates: Fates = {}
        if outcome.rejected:
            fates = await self._rescue(batch, outcome.rejected)
        if outcome.retry:
            self.subscription.note({"retried": len(outcome.retry)})
            if outcome.overloaded:
                self.limit.overloaded()
            fates |= await self._again(batch, outcome)
        return fates

    async def _again(self, batch: DeliveryBatch, outcome: Outcome) -> Fates:
        """Send the records again that the other end could not take now."""
        alone = len(outcome.retry) == batch.count and self.limit.in_flight == 1
        rest = batch.subset(outcome.retry)
        rest.attempt += 1
        await self._back_off(rest.attempt)
        if alone and rest.count > 1 and rest.attempt % 4 == 0:
            fates = await self._halves(
                rest
            )  # nothing of it is ever taken, though nothing else is in flight: it is too large
        else:
            fates = await self._settle(rest)
        return {outcome.retry[i]: fate for i, fate in fates.items()}

    async def _halves(self, batch: DeliveryBatch) -> Fates:
        middle = batch.count // 2
        first = await self._settle(batch.subset(range(middle)))
        second = await self._settle(batch.subset(range(middle, batch.count)))
        return first | {middle + i: fate for i, fate in second.items()}

    async def _attempts(self, batch: DeliveryBatch) -> tuple[Outcome, DeliveryBatch]:
        """Send until there is an answer for the batch. Nearly always there is one at once; back-off is loaded when
        not."""
        try:
            return await self._send(batch), batch
        except (Retryable, Paused) as failure:
            return await self._attempts_after(failure, batch)

    async def _attempts_after(self, failure: Retryable | Paused, batch: DeliveryBatch) -> tuple[Outcome, DeliveryBatch]:
        from agent.delivery.backoff import retrying

        first: Retryable | Paused | None = failure
        async for attempt in retrying(self._config, self._sleep, self._tell):
            with attempt:
                if first is not None:
                    raise first
                outcome = await self._send(batch)
            failed = attempt.retry_state.outcome
            if failed is not None and failed.failed:
                first = None
                batch.attempt += 1
                if self._stopping.is_set() and attempt.retry_state.attempt_number > 1:
                    raise GaveUp
        return outcome, batch

    async def _send(self, batch: DeliveryBatch) -> Outcome:
        state = self.state
        state.requests += 1
        began = time.monotonic()
        try:
            outcome = await self._output.send(batch)
        except (Retryable, Paused) as failure:
            state.failures += 1
            state.trouble, state.paused = str(failure), isinstance(failure, Paused)
            if isinstance(failure, NoAnswer):
                batch.in_doubt = True
            if isinstance(failure, NoAnswer) or getattr(failure, "overloaded", False):
                self.limit.overloaded()
            raise
        except (TooLarge, Refused):
            state.failures += 1
            raise
        if state.trouble is not None:
            _log.info("Delivery works again", output=self._output.id)
        state.trouble, state.paused = None, False
        state.sent_at = time.monotonic()
        self.limit.answered(state.sent_at - began)
        self._queue.progress += 1
        return outcome

    # Waiting.

    async def _back_off(self, attempt: int) -> None:
        if self._stopping.is_set() and attempt > 2:
            raise GaveUp
        await self._sleep(min(self._config.backoff_max, self._config.backoff_initial * 2 ** (attempt - 2)))

    async def _sleep(self, secs: float) -> None:
        """Wait, or until the stop begins: then one attempt is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self._stopping.wait()

    def _tell(self, failure: BaseException, secs: float) -> None:
        tell = _log.error if isinstance(failure, Paused) else _log.warning
        tell("An output does not take records; they stay in the queue", output=self._output.id, error=str(failure),
             retry_in_secs=round(secs, 1), queued=self.subscription.queued)  # fmt: skip

    # Fates.

    async def _rescue(self, batch: DeliveryBatch, rejected: dict[int, str]) -> Fates:
        """Send refused records in a form nothing can refuse; what fails even then is a dead letter."""
        ids, documents = batch.ids(), batch.documents()
        safe = {i: self._output.rescue(ids[i], documents[i], reason) for i, reason in rejected.items()}
        tried = [i for i, document in safe.items() if document is not None]
        fates = {i: RESCUED for i in tried}
        dead = {i: reason for i, reason in rejected.items() if safe[i] is None}
        if tried:
            again = DeliveryBatch.of_documents(batch.stream, [ids[i] for i in tried], [safe[i] or b"" for i in tried])
            again.attempt, again.in_doubt = batch.attempt + 1, batch.in_doubt
            for i, reason in (await self._refused_again(again)).items():
                dead[tried[i]] = f"{rejected[tried[i]]}; and as a rescued record: {reason}"
        if dead:
            await self._bury(batch, dead)
            fates |= {i: DEAD_LETTERED for i in dead}
        return fates

    async def _refused_again(self, batch: DeliveryBatch) -> dict[int, str]:
        """Which of the rescued records were refused all the same."""
        try:
            outcome, batch = await self._attempts(batch)
        except (TooLarge, Refused) as refusal:
            if batch.count == 1:
                return {0: str(refusal)}
            middle = batch.count // 2
            first = await self._refused_again(batch.subset(range(middle)))
            second = await self._refused_again(batch.subset(range(middle, batch.count)))
            return first | {middle + i: reason for i, reason in second.items()}
        refused = dict(outcome.rejected)
        if outcome.retry:
            rest = batch.subset(outcome.retry)
            rest.attempt += 1
            await self._back_off(rest.attempt)
            refused |= {outcome.retry[i]: reason for i, reason in (await self._refused_again(rest)).items()}
        return refused

    async def _bury(self, batch: DeliveryBatch, dead: dict[int, str]) -> None:
        ids, documents = batch.ids(), batch.documents()
        letters = [
            dead_letter(self._output.id, ids[i], batch.stream, reason, batch.attempt, documents[i])
            for i, reason in sorted(dead.items())
        ]
        _log.error("Records were refused for good and are kept as dead letters", output=self._output.id,
                   records=len(dead), reason=next(iter(dead.values())))  # fmt: skip
        while True:
            try:
                return await asyncio.to_thread(self._dead_letters.put, letters)
            except OSError as error:
                _log.error("Dead letters cannot be written; the records stay in the queue", error=str(error))
                if self._stopping.is_set():
                    raise GaveUp from error
                await self._sleep(self._config.backoff_initial)

    def _finish(self, batch: DeliveryBatch, fates: Fates) -> None:
        first = 0
        for frame in batch.frames:
            by_fate: dict[str, int] = {DELIVERED: frame.count}
            if fates:
                for i in range(first, first + frame.count):
                    if i in fates:
                        by_fate[fates[i]] = by_fate.get(fates[i], 0) + 1
                        by_fate[DELIVERED] -= 1
            first += frame.count
            done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
            self.subscription.finish(done, by_fate)

    def _cursor_after(self, batch: DeliveryBatch) -> bytes:
        cursor: Cursor = decode_cursor(encode_cursor(self.subscription.cursor))
        for frame in batch.frames:
            cursor.finish(Range(frame.seq, frame.seq, frame.count, frame.total + frame.count), {DELIVERED: frame.count})
        return encode_cursor(cursor)

    def _look_for_repeats(self, batch: DeliveryBatch, outcome: Outcome) -> None:
        """A repeat of what was never sent before means that an id was given twice: never to be passed over silently."""
        if outcome.duplicates and batch.frames and batch.attempt == 1 and not batch.in_doubt:
            _log.error(
                "Records were there already at their first sending", output=self._output.id, records=outcome.duplicates
            )
            self.subscription.note({"unexpected_duplicates": outcome.duplicates})
