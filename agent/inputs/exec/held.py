"""Lines between the model's pipe and the queue: what is read on while an append does not return.

The pipe must be read, or the model waits in its next write; but an append can take as long as a disk that hangs likes.
"""

import asyncio
from collections import deque
from typing import Final

from agent.inputs.lines import Cut
from agent.log import Log
from agent.record import Counts

HELD_BYTES: Final = 8 * 1024**2
PATIENCE_SECS: Final = 0.1
"""While the queue takes batches the model may have to wait for it, for as long as one of its own batches takes; when it
has taken none for this long, the model is waiting for a disk."""
OVERRUN: Final = "overrun"
_LINE_BYTES: Final = 56
"""What a line takes beside its bytes."""

_log = Log("inputs.exec")


class Held:
    """A bounded buffer between a reader and an emitter on one event loop. ``waits``: the reader waits until all is
    taken (``on_full: block``); otherwise it waits only as long as lines are being taken, and what then does not fit is
    dropped, counted as ``overrun``."""

    def __init__(self, input_id: str, stream: str, *, waits: bool) -> None:
        self._input = input_id
        self._stream = stream
        self._waits = waits
        self._cuts: deque[tuple[Cut, int]] = deque()
        self._bytes = 0
        self._dropped = Counts()
        self._stuck = False
        self._over = False
        self._more = asyncio.Event()
        self._less = asyncio.Event()

    async def put(self, cut: Cut, read_at_ns: int) -> None:
        """Give lines to the emitter, or count them as dropped."""
        size = _size(cut)
        if not await self._has_room(size):
            self._dropped.accepted += len(cut.lines)
            self._dropped.bytes += cut.end - cut.begin
            _log.error("The queue's disk does not answer: what the model writes is dropped",
                       input=self._input, stream=self._stream, held_bytes=self._bytes)  # fmt: skip
            return
        self._cuts.append((cut, read_at_ns))
        self._bytes += size
        self._more.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._more.set()

    async def first(self) -> tuple[Cut, int] | None:
        """The oldest lines and when they were read, which stay until ``taken``; None when nothing more comes."""
        while not self._cuts:
            if self._over:
                return None
            self._more.clear()
            await self._more.wait()
        return self._cuts[0]

    def taken(self) -> None:
        """What ``first`` gave is in the queue."""
        cut, _ = self._cuts.popleft()
        self._bytes -= _size(cut)
        self._stuck = False
        self._less.set()

    def dropped(self) -> Counts | None:
        """What was dropped since this was last asked; None if nothing."""
        dropped, self._dropped = self._dropped, Counts()
        if not dropped.accepted and not dropped.bytes:
            return None
        dropped.dropped = {OVERRUN: dropped.accepted} if dropped.accepted else {}
        return dropped

    async def _has_room(self, size: int) -> bool:
        while self._bytes + size > HELD_BYTES or self._waits:
            if not self._cuts:
                return True
            if self._stuck:
                return False
            self._less.clear()
            try:
                async with asyncio.timeout(None if self._waits else PATIENCE_SECS):
                    await self._less.wait()
            except TimeoutError:
                self._stuck = True
        return True


def _size(cut: Cut) -> int:
    return sum(map(len, cut.lines)) + _LINE_BYTES * len(cut.lines)
