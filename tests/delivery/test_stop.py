"""Stopping: back-offs are cut short, each batch gets one attempt, and what is left stays in the queue."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.config import DeliveryConfig
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.errors import NoAnswer, Paused, Refused, Retryable
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from tests.delivery.delivering import deliver
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry, ids


@pytest.mark.parametrize(
    "trouble",
    [
        Retryable("503"),
        Retryable("429", retry_after_secs=3600.0, overloaded=True),
        NoAnswer("timeout"),
        Paused("401"),
        Refused("unrecognized parameter"),
    ],
    ids=["503", "Retry-After: 3600", "no answer", "401", "400"],
)
def test_stop_cuts_a_back_off_of_minutes_short(tmp_path: Path, trouble: Any) -> None:
    """Several batches waiting for minutes each get one attempt at once when the agent stops, and stay in the queue if
    that fails too."""

    async def main() -> None:
        async with open_queue(QueueConfig(path=tmp_path, min_free=0), RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            slow = DeliveryConfig(backoff_initial=600, backoff_max=600, batch_records=1, batch_age=0, max_concurrency=3)
            output = FakeOutput([*[None] * 9, *[trouble] * 1000])
            store = DeadLetters(tmp_path / "d", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, slow, store)
            running = asyncio.create_task(loop.run())
            for batch in range(1, 21):
                await queue.append(entry(batch, 1), "block")
            # All slots there are now belong to batches that failed and wait.
            while not loop.state.failures >= loop.limit.in_flight >= int(loop.limit.limit):
                await asyncio.sleep(0.001)
            before, waiting = len(output.requests), loop.limit.in_flight
            loop.finish()
            async with asyncio.timeout(10):
                await running
            assert subscription.queued == 11
            assert waiting <= len(output.requests) - before <= 2 * waiting  # a rescue is a request of its own
            assert not (tmp_path / "d").exists()

    asyncio.run(main())


def test_stop_delivers_what_the_mended_server_takes(tmp_path: Path) -> None:
    """The one attempt of a stop is a real one: a server that is back by then gets everything."""

    async def main() -> None:
        async with open_queue(QueueConfig(path=tmp_path, min_free=0, sync="always"), RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            slow = DeliveryConfig(backoff_initial=600, backoff_max=600)
            output = FakeOutput([Retryable("down", retry_after_secs=3600.0)])
            loop = DeliveryLoop(output, queue, subscription, slow, DeadLetters(tmp_path / "d", DeadLettersConfig()))
            running = asyncio.create_task(loop.run())
            await queue.append(entry(1, 10), "block")
            while not output.requests:
                await asyncio.sleep(0.001)
            for batch in range(2, 6):
                await queue.append(entry(batch, 10), "block")
            loop.finish()
            async with asyncio.timeout(10):
                await running
            assert subscription.queued == 0

    asyncio.run(main())


def test_stop_leaves_undelivered_records_in_the_queue(tmp_path: Path) -> None:
    """With a dead output, stopping takes one more attempt and no loss: a later run delivers everything."""

    async def main() -> int:
        async with open_queue(QueueConfig(path=tmp_path, min_free=0), RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            output = FakeOutput([Retryable("down")] * 1000)
            slow = DeliveryConfig(backoff_initial=60, backoff_max=60)
            loop = DeliveryLoop(output, queue, subscription, slow, DeadLetters(tmp_path / "d", DeadLettersConfig()))
            running = asyncio.create_task(loop.run())
            await queue.append(entry(1, 10), "block")
            while not output.requests:
                await asyncio.sleep(0.001)
            loop.finish()
            async with asyncio.timeout(5):
                await running
            assert subscription.queued == 10
            return len(output.requests)

    assert asyncio.run(main()) == 2
    output = FakeOutput()
    deliver(tmp_path, output, batches=0)
    assert sorted(output.taken) == sorted(ids(1, 10))
