"""From an empty queue to the ledger, with a fake output at the end."""

import asyncio
from pathlib import Path

from agent.delivery.config import DeliveryConfig
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.ledger import OutputLine, make_ledger
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry

QUICK = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_age=0.0)


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
        async with (
            asyncio.timeout(20),
            open_queue(QueueConfig(path=folder, min_free=0, sync_interval=0.001), RUN) as queue,
        ):
            subscription = queue.subscribe("fake", from_oldest=True)
            store = DeadLetters(folder / "dead-letters", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config, store)
            running = asyncio.create_task(loop.run())
            for batch in range(1, batches + 1):
                await queue.append(entry(batch, count, pad=pad), "block")
            while subscription.queued:
                assert not running.done(), running.result()
                await asyncio.sleep(0.001)  # the queue has no event for "empty"
            loop.finish()
            await running
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            return ledger.outputs["fake"]

    return asyncio.run(main())
