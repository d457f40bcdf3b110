"""What the status endpoint and the watchdog may look at: the running parts, read-only."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

from agent.delivery.loop import DeliveryLoop
from agent.queue.queue import Queue
from agent.status.backlog import Backlog, Moments, backlog

if TYPE_CHECKING:
    from agent.inputs.file.input import Progress
    from agent.ledger import Ledger
    from agent.outputs.local.store import StoreCounts

STUCK_SECS = 60.0
"""With work to do and nothing in the way, the agent counts as stuck after this long without doing any."""


class Health(msgspec.Struct):
    """``problems`` are sentences; none means healthy."""

    problems: list[str]


@runtime_checkable
class ShowsProgress(Protocol):
    """An input that knows how much it has still to read."""

    def progress(self) -> "Progress":
        """How it stands, as last seen."""
        ...


@runtime_checkable
class CountsStored(Protocol):
    """An output that is a store of its own."""

    @property
    def counts(self) -> "StoreCounts":
        """What it did since the start."""
        ...


class View:
    """The running agent as others see it. ``inputs`` and ``stores`` are those that have more to show than the queue
    knows of them."""

    def __init__(self, queue: Queue, loops: dict[str, DeliveryLoop], run: str) -> None:
        self.queue = queue
        self.loops = loops
        self.run = run
        self.inputs: Mapping[str, ShowsProgress] = {}
        self.stores: Mapping[str, CountsStored] = {}
        self.ready = False
        self.stopping = False
        self._moments = Moments()
        self._progress = -1
        self._progress_at = time.monotonic()

    async def ledger(self) -> "Ledger":
        """The sum as of now."""
        from agent.ledger import make_ledger, read_dead_letters

        queue = self.queue
        counts, total = dict(queue.counts), queue.total
        cursors = {
            output: msgspec.structs.replace(
                cursor, done=list(cursor.done), counts=dict(cursor.counts), noted=dict(cursor.noted)
            )
            for output, cursor in queue.cursors.items()
        }
        # The stores after the cursors, and not on the event loop: a disk may hang.
        letters = await asyncio.to_thread(read_dead_letters, queue.folder, cursors)
        return make_ledger(counts, total, cursors, letters)

    def backlogs(self) -> dict[str, Backlog]:
        """What each output has before it. Every call makes the ages of the next ones more exact."""
        queue, now_ms = self.queue, time.time_ns() // 1_000_000
        found = {
            output: backlog(queue.segments, cursor, queue.total, self._moments, now_ms)
            for output, cursor in queue.cursors.items()
        }
        self._moments.note(now_ms, queue.total)
        return found

    def health(self) -> Health:
        """Whether work that could go on goes on. A dead server or a full disk is trouble, and shown, but restarting the
        agent would not mend it."""
        now = time.monotonic()
        if self.queue.progress != self._progress or not self._has_work(now):
            self._progress, self._progress_at = self.queue.progress, now
        idle = now - self._progress_at
        if idle < STUCK_SECS:
            return Health([])
        return Health([f"there is work to do, nothing is in the way, and nothing was done for {idle:.0f} s"])

    def _has_work(self, now: float) -> bool:
        if self.queue.trouble is not None:
            return False
        return self.queue.has_waiting or any(
            loop.subscription.queued > 0 and loop.state.trouble_at(now) is None and not loop.state.gathering
            for loop in self.loops.values()
        )
