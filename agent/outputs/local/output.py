"""The output ``local``: batches into the embedded store."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.store import Store, StoreCounts, folder_problem
from agent.query.words import fts5_problem

T = TypeVar("T")

RETAIN_SECS: Final = 60.0
"""How often old records are looked for while none arrive."""


class LocalOutput:
    """Stores each record exactly once: ``batch.cursor_after`` goes into the transaction that stores the records.

    The store lives on a thread of its own, so a slow disk stops nothing else. A ``send`` that is cancelled may still
    be stored; its cursor says so.
    """

    ordered = True
    """One batch at a time, in queue order: the cursor is a single position."""

    def __init__(self, config: LocalConfig) -> None:
        self.id = config.id or "local"
        self._store = Store(config.path, max_bytes=config.max_bytes, max_age_secs=config.max_age)
        self._thread: ThreadPoolExecutor
        self._housekeeping: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"store-{self.id}")
        try:
            await self._call(self._store.__enter__)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._housekeeping = asyncio.create_task(self._retain(), name=f"store-{self.id}-retain")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._housekeeping.cancel()
        try:
            await self._call(lambda: self._store.__exit__(None, None, None))
        finally:
            self._thread.shutdown(wait=False)

    async def load_cursor(self) -> bytes | None:
        """The cursor behind the newest record stored, or None when the store is empty or new.

        After damage it may be older than what was acknowledged: that of the newest part that can be read. What the
        queue still has behind it can be sent again without storing anything twice. ``Retryable`` when the disk does
        not let us know just now.
        """
        return await self._call(self._store.cursor)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Store the batch and its cursor in one transaction; a batch that is there already counts as duplicates."""
        stored = await self._call(lambda: self._store.append(batch.documents(), batch.cursor_after))
        return Outcome() if stored else Outcome(duplicates=batch.count)

    async def make_durable(self) -> None:
        """Let everything stored survive a power cut. To be awaited before the queue gives up its copy. ``Retryable``
        when it cannot be now.
        """
        await self._call(self._store.sync)

    async def check(self) -> list[str]:
        """The folder can be written, and SQLite has full-text search."""
        return [problem for problem in (folder_problem(self._store.folder), fts5_problem()) if problem]

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: what the store refuses it would refuse in any form."""
        return None

    @property
    def counts(self) -> StoreCounts:
        """Records stored, removed by the limits, and files set aside since the start."""
        return self._store.counts

    async def _retain(self) -> None:
        while True:
            await asyncio.sleep(RETAIN_SECS)
            await self._call(self._store.retain)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
