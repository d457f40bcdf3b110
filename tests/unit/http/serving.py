"""An input that answers requests, on a unix socket with a queue behind it that can be full; and somebody who asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from agent.errors import NoRoom
from agent.inputs.contract import Input, Stop
from agent.processors.normalise.normaliser import Normaliser
from agent.record import Batch

PATIENCE_SECS = 20.0


class FakeQueue:
    """Takes batches while there is room, and lets them wait as long as they can, as the real one does; and before it
    stands what refuses lines."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.offered = 0
        self._normaliser = Normaliser()
        self._room = asyncio.Event()
        self._room.set()

    def fill(self) -> None:
        """No room from now on."""
        self._room.clear()

    def drain(self) -> None:
        """Room again."""
        self._room.set()

    async def emit(self, batch: Batch) -> None:
        """Wait for room, at most as long as the batch can."""
        self.offered += 1
        try:
            async with asyncio.timeout(batch.patience_secs):
                await self._room.wait()
        except TimeoutError:
            raise NoRoom("full") from None
        if batch.refused is not None:
            self._normaliser(batch)
            bad = {at for at, _ in batch.refused}
            batch.lines = [line for at, line in enumerate(batch.lines) if at not in bad]
        self.batches.append(batch)

    @property
    def lines(self) -> list[bytes]:
        """All lines taken."""
        return [line for batch in self.batches for line in batch.lines]

    def noted(self, mark: str) -> int:
        """Records noted."""
        return sum(batch.counts.noted.get(mark, 0) for batch in self.batches)


class Answered(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


class Running(NamedTuple):
    """An input that listens."""

    path: Path
    queue: FakeQueue
    stop: Stop
    task: "asyncio.Task[None]"

    async def ask(self, request: bytes) -> Answered:
        """One request on a connection of its own."""
        answered = parse(await self.send(request))
        assert answered is not None
        return answered

    async def send(self, data: bytes) -> bytes:
        """Send anything, and read until the other end closes."""
        async with asyncio.timeout(PATIENCE_SECS):
            reader, writer = await asyncio.open_unix_connection(self.path)
            try:
                writer.write(data)
                return await reader.read()
            except ConnectionError:
                return b""
            finally:
                writer.close()


@asynccontextmanager
async def running(made: Input, path: Path) -> AsyncIterator[Running]:
    """Run the input while the block runs."""
    queue, stop = FakeQueue(), Stop()
    task = asyncio.create_task(made.run(queue.emit, stop))
    async with asyncio.timeout(PATIENCE_SECS):
        while not path.exists():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.001)
    try:
        yield Running(path, queue, stop, task)
    finally:
        queue.drain()
        stop.ask()
        async with asyncio.timeout(PATIENCE_SECS):
            await task


async def until(condition: "object") -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():
            await asyncio.sleep(0.001)


def request(
    body: bytes = b"",
    content_type: str | None = "application/json",
    *,
    method: str = "POST",
    path: str = "/",
    close: bool = True,
    **headers: str,
) -> bytes:
    """A request as bytes. Header names are written with underscores."""
    fields = {"Host": "x", "Content-Length": str(len(body))}
    if content_type is not None:
        fields["Content-Type"] = content_type
    if close:
        fields["Connection"] = "close"
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def parse(data: bytes) -> Answered | None:
    """The last answer in what came back; None if there is none."""
    data = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *fields = head.decode().split("\r\n")
    headers = {name: value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answered(int(first.split()[1]), headers, body)
