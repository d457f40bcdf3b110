"""Stopping in time: what the grace period is divided into, who has to end when, and what is said of it afterwards.

Every limit is a moment counted from when the stop was asked, so that what one part leaves of its time the next may use.
Nothing that was accepted depends on any of it: what was not read, not written or not sent is still where it was.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Collection
from typing import Final, Self

import msgspec

from agent.log import Log

_INPUTS: Final = 0.4
_MODEL: Final = 0.55
_INPUTS_AFTER_THE_MODEL: Final = 0.15
_CLOSING: Final = 0.15
_LEAVING: Final = 0.05
"""Parts of the grace period; the outputs have the rest."""
_CLOSING_SECS: Final = 1.5
_LEAVING_SECS: Final = 0.5
"""Closing files needs no more than this, however long the grace period."""
_AT_ONCE_SECS: Final = 2.0
"""What a second signal leaves for it."""

_log = Log("agent")


class Budgets(msgspec.Struct, frozen=True):
    """Seconds of a grace period, in the order they are spent: waiting for the model to end, where we run it; reading
    until the sources are quiet, one attempt to send what is queued, closing the queue and the outputs, and leaving
    behind whatever does not end."""

    inputs: float
    outputs: float
    closing: float
    leaving: float
    model: float = 0.0

    @classmethod
    def of(cls, grace_secs: float, *, with_model: bool = False) -> Self:
        """The budgets of a grace period; together they are that period."""
        model = grace_secs * _MODEL if with_model else 0.0
        inputs = grace_secs * (_INPUTS_AFTER_THE_MODEL if with_model else _INPUTS)
        closing = min(grace_secs * _CLOSING, _CLOSING_SECS)
        leaving = min(grace_secs * _LEAVING, _LEAVING_SECS)
        return cls(inputs, grace_secs - model - inputs - closing - leaving, closing, leaving, model)


class Shutdown:
    """The question "should we stop?": once to drain, twice to end at once. ``began`` is the monotonic time of the
    first."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.now = asyncio.Event()
        self.began = 0.0

    def ask(self) -> None:
        """Ask to drain; asking again ends at once."""
        if self.drain.is_set():
            self.now.set()
        else:
            self.begin()

    def begin(self) -> None:
        """Drain, if that has not begun: there is nothing more to do."""
        if not self.drain.is_set():
            self.began = time.monotonic()
            self.drain.set()

    async def wait_drain(self, timeout_secs: float) -> bool:
        """Wait until asked to drain, at most so long. True if asked."""
        try:
            async with asyncio.timeout(timeout_secs):
                await self.drain.wait()
        except TimeoutError:
            return False
        return True


class Ending:
    """One stop, from the question to the last line of the log. ``queued`` gives the records still queued, by output,
    ``status`` what the process ends with if it has to be left; ``with_model`` says that we run the model."""

    def __init__(self, shutdown: Shutdown, grace_secs: float, *, with_model: bool = False) -> None:
        self.queued: Callable[[], dict[str, int]] = dict
        self.status: Callable[[], int] = int
        self._shutdown = shutdown
        self._budgets = Budgets.of(grace_secs, with_model=with_model)
        self._grace_secs = grace_secs
        self._spent: dict[str, float] = {}
        self._forced: list[str] = []
        self._closing_since: float | None = None
        self._said = False

    async def model(self, running: Collection[asyncio.Task[None]]) -> None:
        """Give the model its time to end, if we run one, and then half of the inputs' to be read to its end."""
        if running:
            sentence = "The model was still being read when its time was over; what it wrote last is lost"
            await self._finish("model", running, self._budgets.model + self._budgets.inputs / 2, sentence)

    async def inputs(self, reading: Collection[asyncio.Task[None]]) -> None:
        """Give the inputs their time; who still reads then is cancelled, and named."""
        sentence = "An input was still reading when its time was over; files are read on from there at the next start"
        await self._finish("inputs", reading, self._budgets.model + self._budgets.inputs, sentence)

    async def outputs(self, delivering: Collection[asyncio.Task[None]]) -> None:
        """Give the outputs theirs, and what the inputs left."""
        sentence = "An output was still sending when its time was over; the rest stays in the queue"
        until_secs = self._budgets.model + self._budgets.inputs + self._budgets.outputs
        await self._finish("outputs", delivering, until_secs, sentence)
        self._closing_since = time.monotonic()

    async def close_by(self) -> None:
        """Return when it is time to end at once: closing takes too long, or somebody asked a second time."""
        await self._shutdown.drain.wait()
        try:
            async with asyncio.timeout(self._left(self._grace_secs - self._budgets.leaving)):
                await self._shutdown.now.wait()
            _log.warning("Ending at once; what is in the queue is delivered after the next start")
            self._forced.append("second signal")
        except TimeoutError:
            _log.warning("Closing took too long and was cut short; what was accepted is kept")
            self._forced.append("closing")

    async def leave_by(self) -> None:
        """From the moment a stop is asked, see to it that the process is gone when its time is over, even if a disk
        that hangs holds its threads. To be run where the process itself may end."""
        await self._shutdown.drain.wait()
        self._leave_after(self._left(self._grace_secs))
        await self._shutdown.now.wait()
        self._leave_after(min(_AT_ONCE_SECS, self._left(self._grace_secs)))

    def say(self) -> None:
        """The last line of the log: what was spent of each budget, what was forced, what stays queued."""
        if self._said or not self._shutdown.drain.is_set():
            return
        self._said = True
        if self._closing_since is not None:
            self._spent["closing"] = time.monotonic() - self._closing_since
        model = {"model": self._budgets.model} if self._budgets.model else {}
        after = {"inputs": self._budgets.inputs, "outputs": self._budgets.outputs, "closing": self._budgets.closing}
        budgets = model | after
        _log.info(
            "Stopped",
            spent_secs={name: round(secs, 3) for name, secs in self._spent.items()},
            budget_secs={name: round(secs, 3) for name, secs in budgets.items()},
            forced=self._forced,
            queued=self.queued(),
        )

    async def _finish(self, part: str, tasks: Collection[asyncio.Task[None]], until_secs: float, sentence: str) -> None:
        began = time.monotonic()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._left(until_secs))
            for task in late:
                _log.warning(sentence, task=task.get_name())
                self._forced.append(task.get_name())
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._spent[part] = time.monotonic() - began

    def _left(self, until_secs: float) -> float:
        return max(0.0, self._shutdown.began + until_secs - time.monotonic())

    def _leave_after(self, secs: float) -> None:
        timer = threading.Timer(secs, self._leave)
        timer.daemon = True
        timer.start()

    def _leave(self) -> None:
        _log.warning("Something did not end in time and is left behind; what was accepted is kept",
                     threads=[thread.name for thread in threading.enumerate() if not thread.daemon])  # fmt: skip
        self._forced.append("leaving")
        self.say()
        os._exit(self.status())
