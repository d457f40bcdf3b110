"""A stand-in for the queue behind a file input: keeps what was emitted and the positions, as a queue would, and can
be waited on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from agent.inputs.contract import Stop
from agent.inputs.file.config import FileConfig
from agent.inputs.file.input import FileInput
from agent.record import Batch

PATIENCE_SECS = 20.0


class Kept:
    """What arrived. Lines and positions change together or not at all, as in a frame."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.positions: dict[str, bytes] = {}
        self.changed = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.waiting = 0

    async def emit(self, batch: Batch) -> None:
        """Take a batch as soon as there is room."""
        self.waiting += 1
        await self.room.wait()
        self.waiting -= 1
        await asyncio.sleep(0)
        self.batches.append(batch)
        if batch.origin is not None:
            if batch.origin.state:
                self.positions[batch.origin.source] = batch.origin.state
            else:
                self.positions.pop(batch.origin.source, None)
        self.changed.set()

    @property
    def lines(self) -> list[bytes]:
        """All lines so far, in order."""
        return [line for batch in self.batches for line in batch.lines]

    def count(self, name: str) -> int:
        """The sum of one count over all batches: ``accepted``, ``bytes``, or a reason or mark."""
        counts = [batch.counts for batch in self.batches]
        if name in ("accepted", "bytes"):
            return sum(getattr(c, name) for c in counts)
        return sum(c.dropped.get(name, 0) + c.noted.get(name, 0) for c in counts)

    async def wait_until(self, met: Callable[[], object]) -> None:
        """Wait until the condition holds; looked at whenever a batch arrives, and now and then."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not met():
                self.changed = asyncio.Event()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)

    async def wait_for_lines(self, *expected: bytes) -> None:
        """Wait until as many lines arrived; then they must be these."""
        try:
            await self.wait_until(lambda: len(self.lines) >= len(expected))
        except TimeoutError:
            raise AssertionError(f"waited for {list(expected)}, got {self.lines}") from None
        assert self.lines == list(expected)


def config(folder: Path, **settings: Any) -> FileConfig:
    """A configuration that looks often and waits little."""
    defaults: dict[str, Any] = {
        "id": "file",
        "paths": [f"{folder}/*.log"],
        "linger": 0.0,
        "scan_interval": 0.05,
        "partial_after": 3600.0,
    }
    return FileConfig(**(defaults | settings))


@asynccontextmanager
async def following(settings: FileConfig, kept: Kept) -> AsyncIterator[Stop]:
    """A file input at work on the positions kept so far; cancelled at the end of the block, as a kill would end it,
    if it has not been stopped."""
    stop = Stop()
    task = asyncio.create_task(FileInput(settings, dict(kept.positions)).run(kept.emit, stop))
    try:
        yield stop
    finally:
        if stop.asked:
            async with asyncio.timeout(PATIENCE_SECS):
                await task
        else:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def run_once(settings: FileConfig, kept: Kept) -> None:
    """Let an input read what is there until it is quiet, and stop."""

    async def run() -> None:
        async with following(settings, kept) as stop:
            stop.ask()

    asyncio.run(run())
