"""One lumberjack connection: windows go out, acknowledgements come back in their order.

Several sends share a link. Nobody waits for a window before the next is written, so the way there and back costs no
time; what bounds them is the room in the connection's buffers, and how many batches the delivery loop has on their way.
"""

import asyncio
from collections import deque
from contextlib import suppress

from agent.outputs.logstash.frames import KNOCK, AckReader, NotLumberjack
from agent.outputs.logstash.links import Link, Lost


class _Window:
    __slots__ = ("acked", "count", "done")

    def __init__(self, count: int, done: "asyncio.Future[int]") -> None:
        self.count = count
        self.acked = 0
        self.done = done


class Patience:
    """How long, in seconds, a host may say that it is alive and acknowledge nothing. Links share it. It doubles each
    time it ran out, until any host acknowledges something: where all are stuck, repeats only make more for them to do.
    """

    def __init__(self, secs: float) -> None:
        self.secs = self._first_secs = secs

    def ran_out(self) -> None:
        """It was not enough."""
        self.secs *= 2

    def was_rewarded(self) -> None:
        """Something was acknowledged."""
        self.secs = self._first_secs


class WindowLink(Link):
    """Carries windows. Silence is not the end as long as nothing is awaited, or the other end says now and then that it
    is alive; ``timeout_secs`` without either is, and so is being alive and nothing more for longer than ``patience``.
    """

    def __init__(self, timeout_secs: float, patience: Patience) -> None:
        super().__init__()
        self._timeout_secs = timeout_secs
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting_since = self._loop.time()
        self._acks = AckReader()
        self._windows: deque[_Window] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._alive = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def knock(self, timeout_secs: float) -> bool:
        """Whether the other end answers a window without events in this time. Logstash does; of others silence says
        nothing. To be asked before anything else is sent."""
        if self.lost is None:
            self.transport.write(KNOCK)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_secs):
                    await self._alive.wait()
        return self.lost is None and self._alive.is_set()

    async def send(self, window: bytes, count: int) -> "asyncio.Future[int]":
        """Write a window of ``count`` events, and return when there is room for another. The future gives how many of
        them were acknowledged, when all are, or when the link is lost; it never fails. Windows are written in the order
        of the calls."""
        done = self._loop.create_future()
        if self.lost is not None:
            done.set_result(0)
            return done
        if not self._windows:
            self._waiting_since = self._loop.time()
        self._windows.append(_Window(count, done))
        if self._timer is None:
            self._expect_life()
        self.transport.write(window)
        await self._room.wait()
        return done

    async def close(self, *, orderly: bool = True) -> None:
        """End the connection. What is not acknowledged by now is not waited for."""
        await super().close(orderly=orderly and not self._windows)

    def lose(self, lost: Lost) -> None:
        """No more is sent or heard here. Every window is told how far it came."""
        super().lose(lost)
        self._room.set()
        self._alive.set()
        while self._windows:
            _tell(self._windows.popleft())
        self._expect_life()

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        """Acknowledgements, whole or in part."""
        if self.lost is not None:
            return
        try:
            for seq in self._acks.read(data):
                self._take(seq)
        except NotLumberjack as error:
            self.lose(Lost(f"what answers does not speak lumberjack: {error}", is_wrong=True))
        else:
            self._expect_life()

    def pause_writing(self) -> None:
        """The buffers are full."""
        self._room.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._room.set()

    # Windows.

    def _take(self, seq: int) -> None:
        """An acknowledgement. Raises ``NotLumberjack`` when it is for events that were not sent."""
        if seq == 0:
            self._alive.set()
        expected = self._windows[0].count if self._windows else 0
        if seq > expected:
            raise NotLumberjack(f"event {seq} acknowledged of {expected} sent")
        if not self._windows:
            return
        window = self._windows[0]
        if seq <= window.acked:
            self._wait_on()
            return
        window.acked = seq
        self._waiting_since = self._loop.time()
        self._patience.was_rewarded()
        if window.acked == window.count:
            _tell(self._windows.popleft())

    def _wait_on(self) -> None:
        """A sign of life that takes nothing. Have patience, as long as there is."""
        secs = self._patience.secs
        if self._loop.time() - self._waiting_since >= secs:
            self._patience.ran_out()
            self.lose(Lost(f"nothing acknowledged within {secs:g} s, though it says that it is alive"))

    def _expect_life(self) -> None:
        """Wait anew for a sign of life, if anything is awaited."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._timeout_secs, self._silent) if self._windows else None

    def _silent(self) -> None:
        self.lose(Lost(f"neither an acknowledgement nor a sign of life within {self._timeout_secs:g} s"))


def _tell(window: _Window) -> None:
    if not window.done.done():  # else nobody waits for it any more
        window.done.set_result(window.acked)
