"""Keeping the folder tidy: cursors that moved are written, segments that every output is through with are deleted, and
whoever waits for room is told when there is some.

It runs beside the queue's writing and syncing, on the event loop; what blocks goes to the queue's threads.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from agent.errors import Retryable
from agent.log import Log
from agent.queue.cursor import Cursor
from agent.queue.cursor_file import CursorFiles
from agent.queue.subscription import Subscription
from agent.queue.wal import Segment, WriteAheadLog

TIDY_SECS = 0.5
"""How often cursors are written and segments deleted at most, unless someone waits for the room. What was delivered
since is repeated after a kill, under the same ids."""

_log = Log("queue")
OnThread = Callable[..., Awaitable[Any]]


class Housekeeping:
    """See the module. ``room`` is set unless someone waits for it. ``in_trouble`` says whether the disk takes nothing
    just now."""

    def __init__(
        self,
        wal: WriteAheadLog,
        cursor_files: CursorFiles,
        subscriptions: Mapping[str, Subscription],
        on_writer: OnThread,
        on_reader: OnThread,
        in_trouble: Callable[[], bool],
    ) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._wal = wal
        self._cursor_files = cursor_files
        self._subscriptions = subscriptions
        self._on_writer = on_writer
        self._on_reader = on_reader
        self._in_trouble = in_trouble
        self._wanted = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False

    @property
    def cursors(self) -> dict[str, Cursor]:
        """The cursor of every output that holds records here, configured or not."""
        return self._cursor_files.cursors

    def own(self, output: str, cursor: Cursor) -> None:
        """This is the output's cursor from now on."""
        self._cursor_files.own(output, cursor)
        self._wanted.set()

    def moved(self, output: str) -> None:
        """The output's cursor moved: it is to be written, and something may be deleted."""
        self._cursor_files.touch(output)
        self._wanted.set()
        if not self.room.is_set():
            self._urgent.set()

    def hurry(self) -> None:
        """Room is wanted: look at once."""
        self._wanted.set()
        self._urgent.set()

    async def wait_for_room(self) -> None:
        """Wait until something was deleted, or the disk takes writes again."""
        self.room.clear()
        self.hurry()
        await self.room.wait()

    async def run(self) -> None:
        """Tidy whenever there is something to, until closed."""
        while not self._closing:
            await self._wanted.wait()
            self._wanted.clear()
            await self.tidy()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TIDY_SECS):
                    await self._urgent.wait()
            self._urgent.clear()

    def close(self) -> None:
        """Let ``run`` end."""
        self._closing = True
        self.hurry()

    async def tidy(self) -> None:
        """Write the cursors, delete what is finished."""
        try:
            await self._write_cursors(durable=False)
            await self._trim()
        except (OSError, Retryable) as error:
            _log.error("Cursors cannot be made durable; nothing is deleted until they can", error=str(error))

    def sealed(self) -> list[Segment]:
        """The segments nothing more is written to, oldest first."""
        return [segment for segment in self._wal.segments if self._wal.is_sealed(segment)]

    async def give_up(self, oldest: Segment) -> None:
        """Delete a segment whether finished or not, counted for every output that was not through with it."""
        for output, cursor in self.cursors.items():
            dropped = cursor.drop_through(oldest.last, oldest.end_total, "dropped.queue_full")
            if dropped:
                _log.error("The queue is full: the oldest records are dropped", output=output, records=dropped)
            self._cursor_files.touch(output)
        await self._delete([oldest])

    async def _trim(self) -> None:
        low = min((cursor.low for cursor in self.cursors.values()), default=0)
        sealed = self.sealed()
        if (self._in_trouble() or not self.room.is_set()) and low >= self._wal.state.seq:
            await self._on_writer(self._wal.seal)  # room is wanted that only the active segment can give
        newest = [segment for segment in sealed if segment.has_positions][-1:] or sealed[-1:]
        finished = [segment for segment in sealed if segment.last <= low and segment not in newest]
        if finished:
            for subscription in self._subscriptions.values():
                if subscription.before_trim is not None:
                    await subscription.before_trim()
            await self._delete(finished)

    async def _delete(self, segments: list[Segment]) -> None:
        await self._write_cursors(durable=True)
        for segment in segments:
            await self._on_writer(self._wal.delete, segment)
        self.room.set()

    async def _write_cursors(self, *, durable: bool) -> None:
        await self._on_reader(partial(self._cursor_files.write, self._cursor_files.take(), durable=durable))
