"""The output ``stdout``: documents on standard output."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

import msgspec

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Retryable
from agent.outputs.stdout.config import StdoutConfig

STDOUT: Final = 1


class StdoutOutput:
    """Writes each batch to a descriptor, at least once: after trouble in the middle of a batch the whole batch is
    written again.

    Writing has a thread of its own, because a pipe that nobody reads blocks for as long as it likes.
    """

    ordered = True
    """One batch at a time: batches written at once would mix their lines."""

    def __init__(self, config: StdoutConfig, descriptor: int = STDOUT) -> None:
        self.id = config.id or "stdout"
        self._pretty = config.pretty
        self._descriptor = descriptor
        self._thread: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"stdout-{self.id}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._thread.shutdown(wait=False)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Write the batch. ``Retryable`` when the other end is closed or takes no more."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        except OSError as error:
            raise Retryable(f"standard output cannot be written: {error.strerror}") from error
        return Outcome()

    async def check(self) -> list[str]:
        """There is something behind the descriptor."""
        try:
            mode = os.fstat(self._descriptor).st_mode
        except OSError as error:
            return [f"Standard output cannot be written: {error.strerror}."]
        return ["Standard output is a folder."] if stat.S_ISDIR(mode) else []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: nothing is refused for what is in it."""
        return None

    def _write(self, batch: DeliveryBatch) -> None:
        documents = batch.documents()
        shown = map(pretty, documents) if self._pretty else documents
        left = memoryview(b"\n".join((*shown, b"")))
        while left:
            left = left[os.write(self._descriptor, left) :]


def pretty(document: bytes) -> bytes:
    """The document over several lines; as it is when it is nested too deep for that."""
    try:
        return msgspec.json.format(document, indent=2)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return document
