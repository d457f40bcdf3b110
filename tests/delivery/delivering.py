"""From an empty queue to the ledger, with a fake output at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from agent.delivery.config import DeliveryConfig
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop, KeepsLetters
from agent.ledger import OutputLine, make_ledger
from agent.queue.config import QueueConfig
from agent.queue.queue import Queue, open_queue
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry

QUICK = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_age=0.0)
PATIENCE_SECS = 20.0


class Delivering(NamedTuple):
    """A loop at work, and the queue before it."""

    queue: Queue
    loop: DeliveryLoop
    running: asyncio.Task[None]

    @property
    def queued(self) -> int:
        """Records without a fate."""
        return self.loop.subscription.queued

    async def append(self, batch: int, count: int, pad: int = 0) -> None:
        """Put a batch of so many records into the queue."""
        await self.queue.append(entry(batch, count, pad=pad), "block")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what neither queue nor loop has an event for."""
        while not condition():
            assert not self.running.done(), self.running.result()
            await asyncio.sleep(0.001)

    async def until_empty(self) -> None:
        """Wait until all records have a fate."""
        await self.until(lambda: not self.queued)

    async def finish(self) -> None:
        """Ask it to stop, and wait until it has."""
        self.loop.finish()
        await self.running


@asynccontextmanager
async def delivering(
    folder: Path,
    output: FakeOutput,
    config: DeliveryConfig = QUICK,
    store: KeepsLetters | None = None,
    **queue_settings: Any,
) -> AsyncIterator[Delivering]:
    """A loop at work up to the end of the block, where it is cancelled if it was not finished before."""
    settings = {"path": folder, "min_free": 0, "sync_interval": 0.001, **queue_settings}
    async with asyncio.timeout(PATIENCE_SECS), open_queue(QueueConfig(**settings), RUN) as queue:
        subscription = queue.subscribe("fake", from_oldest=True)
        letters = store or DeadLetters(folder / "dead-letters", DeadLettersConfig())
        loop = DeliveryLoop(output, queue, subscription, config, letters)
        running = asyncio.create_task(loop.run())
        try:
            yield Delivering(queue, loop, running)
        finally:
            running.cancel()
            await asyncio.wait([running])


def deliver(
    folder: Path,
    output: FakeOutput,
    batches: int = 4,
    config: DeliveryConfig = QUICK,
    count: int = 10,
    pad: int = 0,
) -> OutputLine:
    """Append the batches, deliver until all have a fate, and return the output's line of the ledger."""

    async def main() -> OutputLine:
        async with delivering(folder, output, config) as at_work:
            for batch in range(1, batches + 1):
                await at_work.append(batch, count, pad)
            await at_work.until_empty()
            await at_work.finish()
            queue = at_work.queue
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            return ledger.outputs["fake"]

    return asyncio.run(main())
