"""What the status endpoint and the watchdog may look at: the running parts, read-only."""

import time

import msgspec

from agent.delivery.loop import DeliveryLoop
from agent.ledger import Ledger, make_ledger
from agent.queue.queue import Queue

STUCK_SECS = 60.0
"""With work to do and nothing in the way, the agent counts as stuck after this long without doing any."""


class Health(msgspec.Struct):
    """``problems`` are sentences; none means healthy."""

    problems: list[str]


class View:
    """The running agent as others see it."""

    def __init__(self, queue: Queue, loops: dict[str, DeliveryLoop], run: str) -> None:
        self.queue = queue
        self.loops = loops
        self.run = run
        self.ready = False
        self.stopping = False
        self._progress = -1
        self._progress_at = time.monotonic()

    def ledger(self) -> Ledger:
        """The sum as of now."""
        return make_ledger(self.queue.counts, self.queue.total, self.queue.cursors)

    def health(self) -> Health:
        """Whether work that could go on goes on. A dead server or a full disk is trouble, and shown, but restarting the
        agent would not mend it."""
        now = time.monotonic()
        if self.queue.progress != self._progress or not self._has_work():
            self._progress, self._progress_at = self.queue.progress, now
        idle = now - self._progress_at
        if idle < STUCK_SECS:
            return Health([])
        return Health([f"there is work to do, nothing is in the way, and nothing was done for {idle:.0f} s"])

    def _has_work(self) -> bool:
        if self.queue.trouble is not None:
            return False
        return self.queue.has_waiting or any(
            loop.subscription.queued > 0 and loop.state.trouble is None for loop in self.loops.values()
        )
