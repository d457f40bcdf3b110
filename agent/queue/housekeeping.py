"""Keeping the folder tidy: cursors that moved are written, segments that every output is through with are deleted, and
whoever waits for room is told when there is some. When room is wanted that nobody gives, the oldest segment is given
up, if a policy of the operator says so.

It runs beside the queue's writing and syncing, on the event loop; what blocks goes to the queue's threads.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.errors import Retryable
from agent.log import Log
from agent.queue.cursor import DROPPED, Cursor
from agent.queue.cursor_file import CursorFiles
from agent.queue.subscription import Subscription
from agent.queue.wal import Segment, WriteAheadLog

if TYPE_CHECKING:
    from agent.queue.receipts import OldSegment, Receipts

TIDY_SECS = 0.5
"""How often cursors are written and segments deleted at most, unless someone waits for the room. What was delivered
since is repeated after a kill, under the same ids. What failed is tried again after it."""
QUEUE_FULL = "queue_full"
MAX_LAG = "max_lag"

_log = Log("queue")
OnThread = Callable[..., Awaitable[Any]]


class Housekeeping:
    """See the module. ``room`` is set unless someone waits for it. ``in_trouble`` says whether the disk takes nothing
    just now."""

    def __init__(
        self,
        wal: WriteAheadLog,
        cursor_files: CursorFiles,
        receipts: "Callable[[], Receipts]",
        subscriptions: Mapping[str, Subscription],
        on_writer: OnThread,
        on_reader: OnThread,
        in_trouble: Callable[[], bool],
    ) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self._wal = wal
        self._cursor_files = cursor_files
        self._receipts = receipts
        self._subscriptions = subscriptions
        self._on_writer = on_writer
        self._on_reader = on_reader
        self._in_trouble = in_trouble
        self._busy = asyncio.Lock()
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

    async def wait_for_room(self, at_most_secs: float) -> None:
        """Wait until something was deleted or the disk takes writes again, but not for ever: an output's lag grows
        beyond its limit without anybody telling."""
        self.room.clear()
        self.hurry()
        try:
            async with asyncio.timeout(at_most_secs):
                await self.room.wait()
        except TimeoutError:
            pass
        finally:
            self.room.set()

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
        async with self._busy:
            try:
                await self._write_cursors(durable=False)
                await self._trim()
            except (OSError, Retryable) as error:
                self._cannot(error)

    async def make_room(self, *, drop_oldest: bool) -> bool:
        """Delete what is finished; if nothing is, the oldest segment, if every output that still needs it is further
        behind than its ``max_lag``, or if ``drop_oldest``. Its records are counted for each output that was not
        through with them. False when nothing could go."""
        async with self._busy:
            try:
                return await self._trim() or await self._give_up_oldest(drop_oldest)
            except (OSError, Retryable) as error:
                self._cannot(error)
                return False

    def _cannot(self, error: Exception) -> None:
        _log.error("The queue's folder cannot be kept tidy; nothing is deleted until it can", error=str(error))
        self._wanted.set()

    def _sealed(self) -> list[Segment]:
        """The segments nothing more is written to, oldest first."""
        return [segment for segment in self._wal.segments if self._wal.is_sealed(segment)]

    async def _trim(self) -> bool:
        """Delete what every output is through with, but the newest sealed segment. False when there is nothing."""
        needed = min((cursor.needs_from for cursor in self.cursors.values()), default=0)
        if (self._in_trouble() or not self.room.is_set()) and needed > self._wal.state.seq:
            await self._on_writer(self._wal.seal)  # room is wanted that only the active segment can give
        sealed = self._sealed()
        newest = [segment for segment in sealed if segment.has_positions][-1:] or sealed[-1:]
        finished = [segment for segment in sealed if segment.last < needed and segment not in newest]
        if finished:
            await self._delete(finished)
        return bool(finished)

    async def _give_up_oldest(self, drop_oldest: bool) -> bool:
        if not self._wal.segments:
            return False
        oldest = self._wal.segments[0]
        holders = [output for output, cursor in self.cursors.items() if cursor.needs_from <= oldest.last]
        if not holders:
            return False
        too_far = all(self._is_too_far_behind(output) for output in holders)
        if not (too_far or drop_oldest):
            return False
        if len(self._sealed()) < 2:
            await self._on_writer(self._wal.seal)  # the newest sealed one stays; this one is, once it is synced
        if len(self._sealed()) < 2 or not self._wal.is_sealed(oldest):
            return False
        await self._give_up(oldest, holders, MAX_LAG if too_far else QUEUE_FULL)
        return True

    def _is_too_far_behind(self, output: str) -> bool:
        subscription = self._subscriptions.get(output)
        if subscription is None or subscription.max_lag is None:
            return False
        held = [segment for segment in self._wal.segments if segment.last >= subscription.cursor.needs_from]
        ended_at_ms = held[1].made_at_ms if len(held) > 1 else 0
        held_secs = time.time() - ended_at_ms / 1000 if ended_at_ms else None
        return subscription.max_lag.is_exceeded(sum(segment.size for segment in held), held_secs)

    async def _give_up(self, oldest: Segment, outputs: list[str], reason: str) -> None:
        """Delete a segment that outputs are not through with, counted for each."""
        from agent.queue.receipts import Dropped, unfinished

        ranges = [Dropped(output, unfinished(self.cursors[output], oldest.last)) for output in outputs]
        for output in outputs:
            subscription = self._subscriptions.get(output)
            held = subscription.held.values() if subscription is not None else ()
            dropped = self.cursors[output].drop_through(oldest.last, oldest.end_total, DROPPED + reason, held)
            if reason == MAX_LAG:
                _log.error(
                    "An output is too far behind: its oldest records are dropped", output=output, records=dropped
                )
            else:
                _log.error("The queue is full: the oldest records are dropped", output=output, records=dropped)
            self._cursor_files.touch(output)
        await self._on_reader(self._receipts().dropped, ranges)
        await self._delete([oldest])

    async def _delete(self, segments: list[Segment]) -> None:
        for subscription in self._subscriptions.values():
            if subscription.before_trim is not None:
                await subscription.before_trim()
        await self._write_cursors(durable=True)
        outputs = {output: cursor.start_total for output, cursor in self.cursors.items()}
        for segment in segments:
            old = self._old(segment)
            unwritten = await self._on_reader(self._receipts().keep, old, outputs)
            await self._on_writer(self._wal.delete, segment)
            self.room.set()
            if unwritten:  # a full disk takes them now
                await self._on_reader(self._receipts().keep_after_all, old, unwritten)

    def _old(self, segment: Segment) -> "OldSegment":
        """The segment as its receipt needs it: it ended when the next one was begun."""
        from agent.queue.receipts import OldSegment

        behind = next((other for other in self._wal.segments if other.name.base > segment.last), None)
        ended_at_ms = behind.made_at_ms if behind is not None else time.time_ns() // 1_000_000
        return OldSegment(
            segment.name, segment.size, segment.last, segment.begin_total, segment.end_total, segment.made_at_ms,
            ended_at_ms,
        )  # fmt: skip

    async def _write_cursors(self, *, durable: bool) -> None:
        await self._on_reader(partial(self._cursor_files.write, self._cursor_files.take(), durable=durable))
