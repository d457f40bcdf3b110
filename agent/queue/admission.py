"""Who gets into the queue when there is little room, in the order in which things give: first records of low levels
(``shed``), then what outputs hold back beyond their ``max_lag``, then what ``on_full`` of the input says.

The queue is full when its segments and what waits to be written would exceed ``max_bytes``, and while the disk takes
nothing (``trouble``). Inputs that wait stand in line: a large batch is not overtaken by small ones for ever, and room
that somebody waits for is not given to somebody else.
"""

import asyncio
import errno

from agent.log import Log
from agent.queue.config import OnFull, QueueConfig, ShedLevel
from agent.queue.housekeeping import Housekeeping
from agent.queue.wal import WriteAheadLog

ROOM_LOOK_SECS = 1.0
"""Who waits for room looks again this often."""

_log = Log("queue")


class Admission:
    """See the module. ``waiting_bytes`` are those of batches that are let in and not yet written, uncompressed.
    ``trouble`` says why nothing can be written at the moment, and ``drops_oldest`` whether an input wants the oldest
    records dropped rather than wait."""

    def __init__(self, config: QueueConfig, wal: WriteAheadLog, housekeeping: Housekeeping) -> None:
        self.waiting_bytes = 0
        self.trouble: str | None = None
        self.drops_oldest = False
        self._config = config
        self._wal = wal
        self._housekeeping = housekeeping
        self._line = asyncio.Lock()
        self._first_in_line = 0

    @property
    def is_full(self) -> bool:
        """Whether somebody waits for room, or the disk takes nothing."""
        return self.trouble is not None or self._line.locked()

    @property
    def shed_below(self) -> ShedLevel | None:
        """Records below this level are to be dropped before they get here; None when none are."""
        shed = self._config.shed
        if shed is None:
            return None
        filled = self.is_full or self._filled() > shed.above * self._config.max_bytes
        return shed.below if filled else None

    async def admit(self, raw_bytes: int, on_full: OnFull) -> bool:
        """Whether a batch may be written, once it is known. False when its records are to be dropped."""
        need = min(raw_bytes, self._config.max_bytes // 2)
        if on_full == "drop_oldest":
            self.drops_oldest = True
        if not self._line.locked() and self._has_room(need):
            return True
        if on_full == "block":
            async with self._line:
                self._first_in_line = need
                try:
                    await self._wait_for_room(need)
                finally:
                    self._first_in_line = 0
            return True
        while not self._has_room(need + self._first_in_line):
            if self.trouble is None and await self._housekeeping.make_room(drop_oldest=on_full == "drop_oldest"):
                continue
            if on_full == "drop_newest" or self.trouble is not None:
                _log.error("The queue is full: new records are dropped", used_bytes=self._wal.used_bytes)
                return False
            await self._housekeeping.wait_for_room(ROOM_LOOK_SECS)  # a segment is being written; then it can go
        return True

    async def make_room_for(self, error: OSError) -> bool:
        """After a failed write: make room on the disk, if that can help and policies allow it."""
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return False
        return await self._housekeeping.make_room(drop_oldest=self.drops_oldest)

    async def _wait_for_room(self, need: int) -> None:
        while not self._has_room(need):
            if self.trouble is None and await self._housekeeping.make_room(drop_oldest=False):
                continue
            _log.warning(
                "The queue is full: inputs wait", used_bytes=self._wal.used_bytes, reason=self.trouble or "max_bytes"
            )
            await self._housekeeping.wait_for_room(ROOM_LOOK_SECS)

    def _filled(self) -> int:
        return self._wal.used_bytes + self.waiting_bytes

    def _has_room(self, need: int) -> bool:
        if self.trouble is not None:
            return False
        # One segment always stays; were it alone too large, nobody could ever make room.
        alone = len(self._wal.segments) <= 1 and not self.waiting_bytes
        return alone or self._filled() + need <= self._config.max_bytes
