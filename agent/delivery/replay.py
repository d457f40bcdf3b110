"""What an output has finished and the queue still holds, sent to it again under the same ids: what it wants of it.

Reads the queue only, so it works beside a running agent. What the output has not finished is left to the agent: sent
from here it would meet its own repeat there. Nothing is counted in the ledger: these records have their fate already.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from agent.delivery.batcher import Batcher
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.delivery.resend import resend
from agent.queue.cursor import Cursor
from agent.queue.span import Span
from agent.queue.verify import Finding
from agent.queue.walk import Entered, Good, Unfinished, Walk

if TYPE_CHECKING:
    from agent.delivery.when import When


class Replayed(msgspec.Struct):
    """What became of the records: ``delivered``, of these ``duplicates`` were there already; ``refused`` by reason;
    ``not_taken`` were never answered with yes or no. ``unfinished`` were left to the agent; ``findings`` places of the
    queue were not readable."""

    delivered: int = 0
    duplicates: int = 0
    refused: dict[str, int] = {}
    not_taken: int = 0
    unfinished: int = 0
    findings: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every record that was asked for is there now."""
        return not (self.refused or self.not_taken or self.findings)

    def add(self, count: int, outcome: Outcome) -> None:
        """A batch of so many records was sent."""
        self.delivered += count - len(outcome.rejected) - len(outcome.retry)
        self.duplicates += outcome.duplicates
        self.not_taken += len(outcome.retry)
        for reason in outcome.rejected.values():
            self.refused[reason] = self.refused.get(reason, 0) + 1


class Replay:
    """One replay: ``done`` is what became of the records so far, also when ``run`` is cut short by an error."""

    def __init__(
        self,
        output: Output,
        config: DeliveryConfig,
        span: Span,
        tell: Callable[[str], None],
        found: Callable[[Finding], None],
        when: "When | None" = None,
    ) -> None:
        self.done = Replayed()
        self._output = output
        self._config = config
        self._span = span
        self._tell = tell
        self._found = found
        self._when = when

    async def run(self, walk: Walk, cursor: Cursor | None, sent: Callable[[], None]) -> None:
        """Send what the cursor is through with (everything, if there is none). ``sent`` is called after each batch.
        Raises ``Retryable`` or ``Paused`` when the output does not take a batch at all."""
        batcher = Batcher(self._config.batch_bytes, self._config.batch_records)
        for piece in walk:
            match piece:
                case Good(repeat=False):
                    frame = piece.stored.frame
                    if cursor is not None and not cursor.is_done(frame.seq):
                        self.done.unfinished += frame.count
                    elif frame.count:
                        batcher.add([piece.stored])
                case Entered() | Good() | Unfinished():
                    continue
                case finding:
                    self.done.findings += 1
                    self._found(finding)
            while batcher.is_full:
                await self._send(batcher.take())
                sent()
        while not batcher.is_empty:
            await self._send(batcher.take())
            sent()

    async def _send(self, batch: DeliveryBatch) -> None:
        if self._when is not None:
            batch = self._when.of(batch).batch
            if not batch.count:
                return
        if not self._span.is_everything:
            picked = [i for i, document in enumerate(batch.documents()) if self._span.picks(document)]
            if not picked:
                return
            if len(picked) < batch.count:
                batch = batch.subset(picked)
        self.done.add(batch.count, await resend(self._output, batch, self._config, self._tell))
