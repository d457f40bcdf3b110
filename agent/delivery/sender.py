"""Sending one batch until there is an answer: retry, back-off, and the cut-short back-off of a stop.

Some servers refuse what is too large for them without saying so: Elasticsearch answers 429 for ever to a document that
would fill too much of its memory, and a connection may break under a body that is refused before it is read to its
end. Either is a hint, and enough of them in a row, with nothing in between that speaks against it, are ``TooLarge``.
"""

import asyncio
import contextlib
import random
import time
from typing import Final

import msgspec

from agent.delivery.concurrency import ConcurrencyLimit
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.errors import CutOff, NoAnswer, Paused, Refused, Retryable, Throttled, TooLarge
from agent.log import Log
from agent.queue.queue import Queue
from agent.queue.subscription import Subscription

HUGE_RECORD_BYTES: Final = 1024**2
"""A single record up to this size is never taken to be the reason why a server is overloaded."""

SILENT_SECS: Final = 10.0
"""Another end that says nothing for this long, with requests on their way, is trouble, and shown."""

_log = Log("delivery")


class GaveUp(Exception):
    """Stopping: the one attempt that was left failed too. The frames stay in the queue."""


class DeliveryState(msgspec.Struct):
    """How delivery is doing, for the status page. ``trouble`` is the last failure while it lasts; ``sent_at`` the
    monotonic time of the last good answer. ``gathering``: what is there waits for company, no longer than it may.
    ``on_their_way`` are the requests without an answer yet, the oldest first, and the monotonic times they began."""

    trouble: str | None = None
    paused: bool = False
    gathering: bool = False
    sent_at: float | None = None
    requests: int = 0
    failures: int = 0
    on_their_way: dict[int, float] = {}

    def trouble_at(self, now: float) -> str | None:
        """What is in the way at this monotonic time, if anything: the last failure, or that nothing is answered. An
        output may wait for an answer for minutes, and only it knows for what."""
        if self.trouble is not None or not self.on_their_way:
            return self.trouble
        silent = now - max(next(iter(self.on_their_way.values())), self.sent_at or 0.0)
        return f"no answer for {silent:.0f} s" if silent >= SILENT_SECS else None


def hints_enough(batch: DeliveryBatch, cut_off: bool) -> int | None:
    """How many hints in a row, the last of them a cut connection or else overload, make the batch too large; None if no
    number does.

    Splitting costs nothing but requests; giving up a whole record needs more.
    """
    if batch.count > 1:
        return 1 if cut_off else 3
    if cut_off:
        return 3
    return 8 if batch.raw_bytes > HUGE_RECORD_BYTES else None


class Sender:
    """Sends the batches of one output."""

    def __init__(self, output: Output, queue: Queue, subscription: Subscription, config: DeliveryConfig) -> None:
        self.state = DeliveryState()
        self.limit = ConcurrencyLimit(1 if output.ordered else config.max_concurrency)
        self.stopping = asyncio.Event()
        self._output = output
        self._queue = queue
        self._subscription = subscription
        self._config = config
        self._begun = 0

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send until there is an answer for the batch. Nearly always there is one at once; back-off is loaded when
        not. Raises ``TooLarge`` and ``Refused``, and ``GaveUp`` when stopping."""
        try:
            return await self._send_once(batch)
        except (Retryable, Paused) as failure:
            return await self._send_again(failure, batch)

    async def _send_again(self, failure: Retryable | Paused, batch: DeliveryBatch) -> Outcome:
        from agent.delivery.backoff import retrying

        first: Retryable | Paused | None = failure
        async for attempt in retrying(self._config, self.sleep, self._tell):
            with attempt:
                if first is not None:
                    raise first
                outcome = await self._send_once(batch)
            done = attempt.retry_state.outcome
            if done is not None and isinstance(done.exception(), Retryable | Paused):
                first = None
                batch.attempt += 1
                if self.stopping.is_set() and attempt.retry_state.attempt_number > 1:
                    raise GaveUp
        return outcome

    async def _send_once(self, batch: DeliveryBatch) -> Outcome:
        state = self.state
        state.requests += 1
        round_ = self.limit.round
        begun = self._begun = self._begun + 1
        is_alone = not state.on_their_way
        began = state.on_their_way[begun] = time.monotonic()
        try:
            outcome = await self._output.send(batch)
        except (Retryable, Paused) as failure:
            state.failures += 1
            state.trouble, state.paused = str(failure), isinstance(failure, Paused)
            if isinstance(failure, NoAnswer):
                batch.in_doubt = True
            is_overload = isinstance(failure, Retryable) and failure.overloaded
            if is_overload or isinstance(failure, NoAnswer):
                self.limit.overloaded(round_)
            self._take_hint(batch, failure, is_overload, is_alone and begun == self._begun)
            raise
        except (TooLarge, Refused):
            state.failures += 1
            raise
        finally:
            del state.on_their_way[begun]
        if state.trouble is not None:
            _log.info("Delivery works again", output=self._output.id)
        state.trouble, state.paused = None, False
        state.sent_at = time.monotonic()
        if outcome.overloaded:
            self.limit.overloaded(round_)
        else:
            self.limit.answered(round_, state.sent_at - began)
        if not outcome.overloaded or len(outcome.retry) < batch.count:
            batch.hints = 0
        elif is_alone and begun == self._begun:
            batch.hints += 1
            if self._has_enough(batch, cut_off=False):
                raise TooLarge("refused as too much again and again, with nothing else on its way")
        self._queue.progress += 1
        return outcome

    def _take_hint(self, batch: DeliveryBatch, failure: Retryable | Paused, is_overload: bool, is_alone: bool) -> None:
        """Note whether a failure speaks for the batch being too large. Raises ``TooLarge`` when enough did."""
        cut_off = isinstance(failure, CutOff)
        if not (cut_off or is_overload) or isinstance(failure, Throttled):
            batch.hints = 0
        elif cut_off or is_alone:
            batch.hints += 1
            if self._has_enough(batch, cut_off):
                raise TooLarge(f"{failure}, again and again: taken to be too large") from failure

    def _has_enough(self, batch: DeliveryBatch, cut_off: bool) -> bool:
        enough = hints_enough(batch, cut_off)
        return enough is not None and batch.hints >= enough

    # Waiting.

    async def back_off(self, attempt: int) -> None:
        """Wait before records are sent again that were answered with "not now". Raises ``GaveUp`` when stopping and
        they had their last attempt."""
        if self.stopping.is_set() and attempt > 2:
            raise GaveUp
        limit = min(self._config.backoff_max, self._config.backoff_initial * 2 ** min(attempt - 2, 32))
        await self.sleep(limit * random.random())  # noqa: S311  # spreads agents, guards nothing

    async def hold(self, failure: Paused, batch: DeliveryBatch) -> None:
        """Wait for a person, as after ``Paused``, before the batch is sent again. Raises ``GaveUp`` when stopping."""
        self.state.trouble, self.state.paused = str(failure), True
        batch.attempt += 1
        if self.stopping.is_set():
            raise GaveUp
        secs = self._config.backoff_max * random.uniform(0.5, 1.0)  # noqa: S311  # as above
        self._tell(failure, secs)
        await self.sleep(secs)

    async def sleep(self, secs: float) -> None:
        """Wait, or until the stop begins: then one attempt is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(secs):
                await self.stopping.wait()

    def _tell(self, failure: BaseException, secs: float) -> None:
        tell = _log.error if isinstance(failure, Paused) else _log.warning
        tell("An output does not take records; they stay in the queue", output=self._output.id, error=str(failure),
             retry_in_secs=round(secs, 1), queued=self._subscription.queued)  # fmt: skip
