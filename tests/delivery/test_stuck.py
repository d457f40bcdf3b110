"""When the agent counts as stuck, and when it only waits."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from agent.status.view import View
from tests.delivery.delivering import QUICK
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry


def problems(folder: Path, is_so: Callable[[DeliveryLoop], bool], *, runs: bool) -> list[str]:
    """What is said of the agent's health after a while in which this was so of its loop, and a record was queued. The
    loop's records wait an hour for company, but for the first."""
    found: list[str] = []

    async def main() -> None:
        config = QueueConfig(path=folder, min_free=0, sync_interval=0.001)
        async with asyncio.timeout(20), open_queue(config, RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            patient = msgspec.structs.replace(QUICK, batch_age=3600.0)
            letters = DeadLetters(folder / "d", DeadLettersConfig())
            loop = DeliveryLoop(FakeOutput([]), queue, subscription, patient, letters)
            view = View(queue, {"fake": loop}, RUN)
            running = asyncio.create_task(loop.run()) if runs else None
            await queue.append(entry(1, 1), "block")
            while subscription.queued and runs:
                await asyncio.sleep(0.001)
            await queue.append(entry(2, 1), "block")
            while queue.has_waiting or not is_so(loop):
                await asyncio.sleep(0.001)
            view.health()  # it has seen all progress there was
            await asyncio.sleep(0.001)
            assert subscription.queued
            found.extend(view.health().problems)
            loop.finish()
            if running is not None:
                await running

    asyncio.run(main())
    return found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.status.view.STUCK_SECS", 1e-6)


def test_records_that_wait_for_company_are_not_stuck(tmp_path: Path) -> None:
    """However long they may wait: systemd must not restart an agent for it."""
    assert problems(tmp_path, lambda loop: loop.state.gathering, runs=True) == []


def test_records_that_nobody_sends_are_stuck(tmp_path: Path) -> None:
    """The same records with nobody who gathers them."""
    (problem,) = problems(tmp_path, lambda loop: not loop.state.gathering, runs=False)
    assert "nothing was done" in problem
