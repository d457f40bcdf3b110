"""Stopping: back-offs are cut short, each batch gets one attempt, and what is left stays in the queue."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.config import DeliveryConfig
from agent.errors import NoAnswer, Paused, Refused, Retryable
from tests.delivery.delivering import deliver, delivering
from tests.fakes.output import FakeOutput
from tests.queue.entries import ids


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
        slow = DeliveryConfig(backoff_initial=600, backoff_max=600, batch_records=1, batch_age=0, max_concurrency=3)
        output = FakeOutput([*[None] * 9, *[trouble] * 1000])
        async with delivering(tmp_path, output, slow) as at_work:
            for batch in range(1, 21):
                await at_work.append(batch, 1)
            state, limit = at_work.loop.state, at_work.loop.limit
            # All slots there are now belong to batches that failed and wait.
            await at_work.until(lambda: state.failures >= limit.in_flight >= int(limit.limit))
            before, waiting = len(output.requests), limit.in_flight
            await at_work.finish()
            assert at_work.queued == 11
            assert waiting <= len(output.requests) - before <= 2 * waiting  # a rescue is a request of its own
            assert not (tmp_path / "dead-letters").exists()

    asyncio.run(main())


def test_stop_delivers_what_the_mended_server_takes(tmp_path: Path) -> None:
    """The one attempt of a stop is a real one: a server that is back by then gets everything."""

    async def main() -> None:
        slow = DeliveryConfig(backoff_initial=600, backoff_max=600)
        output = FakeOutput([Retryable("down", retry_after_secs=3600.0)])
        async with delivering(tmp_path, output, slow, sync="always") as at_work:
            await at_work.append(1, 10)
            await at_work.until(lambda: output.requests)
            for batch in range(2, 6):
                await at_work.append(batch, 10)
            await at_work.finish()
            assert at_work.queued == 0

    asyncio.run(main())


def test_stop_leaves_undelivered_records_in_the_queue(tmp_path: Path) -> None:
    """With a dead output, stopping takes one more attempt and no loss: a later run delivers everything."""

    async def main() -> int:
        output = FakeOutput([Retryable("down")] * 1000)
        async with delivering(tmp_path, output, DeliveryConfig(backoff_initial=60, backoff_max=60)) as at_work:
            await at_work.append(1, 10)
            await at_work.until(lambda: output.requests)
            await at_work.finish()
            assert at_work.queued == 10
            return len(output.requests)

    assert asyncio.run(main()) == 2
    output = FakeOutput()
    deliver(tmp_path, output, batches=0)
    assert sorted(output.taken) == sorted(ids(1, 10))
