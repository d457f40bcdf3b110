"""A real process run by an exec input within the test's own."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from agent.inputs.contract import Stop
from agent.inputs.exec.child import Child
from agent.inputs.exec.config import ExecConfig
from agent.inputs.exec.input import ExecInput
from agent.record import Batch

PATIENCE_SECS = 60.0


class Ran:
    """What an exec input made of a process: its batches in order, and the process."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.batches: list[Batch] = []

    def lines(self, stream: str) -> list[bytes]:
        """The lines of one stream."""
        text = b'"%s"' % stream.encode()
        return [line for b in self.batches if b.constants.get("log.iostream") == text for line in b.lines]

    @property
    def last_words(self) -> Batch:
        """The record of the end: the very last, and the only one of its kind."""
        (found,) = [batch for batch in self.batches if "process.exit_code" in batch.constants]
        assert self.batches[-1] is found
        return found


async def run_to_its_end(
    command: list[str],
    meanwhile: Callable[[Ran, Stop], Awaitable[None]] | None = None,
    *,
    patience_secs: float = PATIENCE_SECS,
    emit_first: Callable[[Batch], Awaitable[None]] | None = None,
    **settings: object,
) -> Ran:
    """Run a command; ``meanwhile`` may watch and ask to stop, ``emit_first`` is awaited before a batch is kept."""
    stop = Stop()
    with Child(command, patience_secs) as child:
        ran = Ran(child)

        async def emit(batch: Batch) -> None:
            if emit_first is not None:
                await emit_first(batch)
            ran.batches.append(batch)

        config = ExecConfig(**({"id": "it", "linger": 0.01, "passthrough": "never"} | settings))  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE_SECS), asyncio.TaskGroup() as tasks:
            tasks.create_task(ExecInput(config, child).run(emit, stop))
            if meanwhile is not None:
                await meanwhile(ran, stop)
    return ran


def python(code: str) -> list[str]:
    """The command that runs this code."""
    return [sys.executable, "-IS", "-c", code]


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():
            await asyncio.sleep(0.002)
