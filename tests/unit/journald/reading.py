"""What a journald input makes of a journal, for tests."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.inputs.contract import Stop
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.journald.input import JournaldInput
from agent.record import Batch

PATIENCE_SECS = 30.0


def journald_input(
    folder: Path | None, positions: Mapping[str, bytes] | None = None, **settings: object
) -> JournaldInput:
    """An input on a folder of journal files, or the machine's own, without pauses."""
    known = {"id": "in", "path": folder and str(folder), "start": "head", "linger": 0.0}
    return JournaldInput(JournaldConfig(**(known | settings)), positions or {}, retry_secs=0.01)  # type: ignore[arg-type]


class Reading:
    """An input while it runs, and what it emitted."""

    def __init__(self, component: JournaldInput) -> None:
        self.component = component
        self.batches: list[Batch] = []
        self.stop = Stop()

    async def __aenter__(self) -> "Reading":
        async def emit(batch: Batch) -> None:
            self.batches.append(batch)

        self.task = asyncio.create_task(self.component.run(emit, self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.ask()
        async with asyncio.timeout(PATIENCE_SECS):
            await self.task

    @property
    def lines(self) -> list[bytes]:
        """All messages."""
        return [line for batch in self.batches for line in batch.lines]

    @property
    def positions(self) -> dict[str, bytes]:
        """What the queue would know."""
        return {batch.origin.source: batch.origin.state for batch in self.batches if batch.origin}

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds, or the input has failed."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not condition() and not self.task.done():
                await asyncio.sleep(0.001)
        if self.task.done():
            self.task.result()


def read_all(folder: Path | None, positions: Mapping[str, bytes] | None = None, **settings: object) -> Reading:
    """What an input reads that is asked to stop before it starts: everything that is there."""

    async def run() -> Reading:
        reading = Reading(journald_input(folder, positions, **settings))
        reading.stop.ask()
        async with reading:
            return reading

    return asyncio.run(run())
