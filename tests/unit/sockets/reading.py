"""An input on sockets at work: where it listens, what it gave."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from agent.inputs.contract import Input, Stop
from agent.record import Batch

PATIENCE_SECS = 30.0


class Taken(logging.Handler):
    """A queue that takes everything unless it is ``full``, and an ear for where inputs listen."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.addresses: list[str] = []
        self.full = False
        self.stop = Stop()

    def emit(self, record: logging.LogRecord) -> None:
        """A line of the log."""
        if record.msg == "An input is listening":
            self.addresses.append(record.__dict__["fields"]["address"])

    async def take(self, batch: Batch) -> None:
        """What the input awaits."""
        while self.full:
            await asyncio.sleep(0.001)
        self.batches.append(batch)

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not condition():
                await asyncio.sleep(0.001)

    @property
    def lines(self) -> list[bytes]:
        """All lines, in order."""
        return [line for batch in self.batches for line in batch.lines]

    @property
    def accepted(self) -> int:
        """Messages counted as taken."""
        return sum(batch.counts.accepted for batch in self.batches)

    def dropped(self, reason: str) -> int:
        """Messages counted under a reason."""
        return sum(batch.counts.dropped.get(reason, 0) for batch in self.batches)

    def facts(self) -> list[dict[str, Any]]:
        """What is known of each line beside itself."""
        return [
            {place: json.loads(column[i]) for place, column in batch.sparse.items() if column[i]}
            for batch in self.batches
            for i in range(len(batch.lines))
        ]

    @property
    def port(self) -> int:
        """Of the first address."""
        return int(self.addresses[0].rpartition(":")[2])


@asynccontextmanager
async def reading(input_: Input) -> AsyncIterator[Taken]:
    """Run the input inside; on the way out ask it to stop and wait for it."""
    taken = Taken()
    logger = logging.getLogger("modeltail.inputs")
    before = logger.level
    logger.addHandler(taken)
    logger.setLevel(logging.INFO)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(input_.run(taken.take, taken.stop))
            await taken.wait_for(lambda: taken.addresses or running.done())
            yield taken
            taken.full = False
            taken.stop.ask()
            async with asyncio.timeout(PATIENCE_SECS):
                await running
    finally:
        logger.removeHandler(taken)
        logger.setLevel(before)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it as the agent runs: on uvloop."""
    uvloop.run(scenario())
