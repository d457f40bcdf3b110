"""The model's output passed on to our own, byte for byte, by a thread: who reads it may be as slow as he likes."""

import asyncio
import contextlib
import os
import threading
from collections import deque
from typing import Final

from agent.log import Log

HELD_BYTES: Final = 1024**2
"""What may wait to be passed on."""

_log = Log("inputs.exec")


class PassOn:
    """Passes on to the descriptor ``fd``. With ``complete`` the giver waits while there is too much in hand; otherwise
    what does not fit is left out, and said. To be used from one event loop; ``close`` ends it."""

    def __init__(self, fd: int, stream: str, *, complete: bool) -> None:
        self._fd = fd
        self._stream = stream
        self._complete = complete
        self._blocks: deque[bytes] = deque()
        self._held = 0
        self._over = self._done = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._less = asyncio.Event()
        threading.Thread(target=self._write, name=f"pass-on-{stream}", daemon=True).start()

    async def give(self, data: bytes) -> None:
        """Have these bytes passed on."""
        while self._complete and self._held > HELD_BYTES:
            self._less.clear()
            await self._less.wait()
        if self._held > HELD_BYTES:
            _log.warning(
                "Output of the model was not passed on: who reads it is too slow; it was collected all the same",
                path=self._stream,
                bytes=len(data),
            )
            return
        with self._changed:
            self._blocks.append(data)
            self._held += len(data)
            self._changed.notify()

    def close(self) -> None:
        """Nothing more comes; what is in hand is passed on as long as we live."""
        with self._changed:
            self._over = True
            self._changed.notify()

    async def wait_done(self, timeout_secs: float) -> None:
        """Wait until all is passed on, at most so long. To be called when closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_secs):
                while not self._done:
                    self._less.clear()
                    await self._less.wait()

    def _write(self) -> None:
        broken = False
        while True:
            with self._changed:
                while not self._blocks and not self._over:
                    self._changed.wait()
                if not self._blocks:
                    break
                data = self._blocks.popleft()
            left = memoryview(data)
            while left and not broken:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    _wait_until_writable(self._fd)
                except OSError as error:
                    broken = True
                    _log.warning("Output of the model cannot be passed on any more; it is collected all the same",
                                 path=self._stream, reason=error)  # fmt: skip
            with self._changed:
                self._held -= len(data)
            self._tell()
        self._done = True
        self._tell()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._less.set)


def _wait_until_writable(fd: int) -> None:
    """Somebody who shares the descriptor made it non-blocking."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()
