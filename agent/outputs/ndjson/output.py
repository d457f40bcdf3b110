"""The output ``ndjson``: documents in a file, one a line."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Retryable
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.ndjson.file import LineFile


class NdjsonOutput:
    """Adds each batch to the file, at least once: what was in flight when the agent died is written again."""

    ordered = True
    """One batch at a time: the file is in queue order."""

    def __init__(self, config: NdjsonConfig) -> None:
        self.id = config.id or "ndjson"
        self._file = LineFile(config.path, max_bytes=config.max_bytes, keep=config.keep)
        self._thread: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ndjson-{self.id}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._call(self._file.close)
        finally:
            self._thread.shutdown(wait=False)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Add the batch to the file. ``Retryable`` when that cannot be now; nothing of it is left in the file then."""
        await self._call(lambda: self._file.append(batch.lines()))
        return Outcome()

    async def make_durable(self) -> None:
        """Let what was written survive a power cut. To be awaited before the queue gives up its copy."""
        await self._call(self._file.sync)

    async def check(self) -> list[str]:
        """The file, or the folder it would be made in, can be written."""
        path = self._file.path.absolute()
        there = next(place for place in (path, *path.parents) if place.exists())
        if there == path and not path.is_file():
            return [f"{path} is not a file."]
        if there != path and not there.is_dir():
            return [f"{path} cannot be made: {there} is not a folder."]
        return [] if os.access(there, os.W_OK) else [f"{there} cannot be written."]

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: nothing is refused for what is in it."""
        return None

    async def _call(self, function: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except OSError as error:
            raise Retryable(f"{self._file.path} cannot be written: {error.strerror}") from error
