"""What every input is: one verb wide."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from agent.record import Batch

Emit = Callable[[Batch], Awaitable[None]]
"""``await emit(batch)`` returns when the batch is in the queue as far as the sync policy says. That single await is
back-pressure *and* acknowledgement: an input reads no further (or at most a few batches further) while it waits. It
never raises for what is in the batch; for one with ``patience_secs`` it may raise ``NoRoom``, and then nothing of it is
in the queue. The batch is not the input's any more: its lines may be gone afterwards."""

Activity = Literal["unseen", "busy", "idle"]
"""``unseen``: nothing was there yet. ``idle``: something was, all of it is read and emitted, nobody is seen who could
still write, and nothing has come for the time asked for. Everything else is ``busy``."""


class Stop:
    """Asks an input to stop. Inputs look at it between reads and wait on it instead of sleeping.

    Set once, by the composition root. ``asked`` is the plain question; ``await wait(timeout)`` returns True once it is
    set, or False when the time is over, so that it serves as the only sleep an input needs.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether the input has been asked to stop."""
        return self._event.is_set()

    def ask(self) -> None:
        """Ask. Asking twice is harmless."""
        self._event.set()

    async def wait(self, timeout_secs: float | None = None) -> bool:
        """Wait until asked, at most ``timeout_secs``. True if asked."""
        if self._event.is_set():
            return True
        try:
            async with asyncio.timeout(timeout_secs):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Input(Protocol):
    """Reads records from one kind of source until told to stop.

    ``positions`` given at construction are the ``Origin.state`` of each source as the queue last knew them. ``run``
    owns every resource it uses (``async with`` inside); nothing happens in ``__init__``. When ``stop`` is asked it
    drains what is quickly there (a file is read until quiet), emits it, and returns; when cancelled it leaves at once,
    and what it had not emitted is read again after a restart, where the source allows.
    """

    id: str

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until told to stop."""
        ...

    async def activity(self, quiet_secs: float) -> Activity:
        """What is to be expected of this input, as far as anybody can tell. Asked now and then while ``run`` runs, in a
        job only. An input whose source has an end of its own is busy until it returns from ``run``."""
        ...
