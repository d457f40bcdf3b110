"""Requests that arrive together share a batch.

While one batch is on its way into the queue the next one collects, so that a thousand single records a second are not a
thousand frames, and with ``sync: always`` not a thousand syncs. Each request is answered when its batch is in.

What comes in a large request goes alone. It is taken apart only when its turn has come, so that its lines still lie in
the processor's cache when they are read; and while one of these batches is on its way into the queue, the next is read.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from agent.errors import NoRoom
from agent.inputs.contract import Emit
from agent.inputs.lines import BLOCK_BYTES
from agent.record import MAX_BATCH_RECORDS, Batch, Counts

LARGE_BYTES: Final = 64 * 1024
"""Bodies of this size have nothing to win by travelling with others."""
TURNS: Final = 2
"""Large batches on their way at once: one is written while the next is read."""


class _Waiting:
    """A batch on its way, who waits for it, and until when (the loop's time); None waits as long as it takes."""

    __slots__ = ("batch", "deadline", "done")

    def __init__(self, batch: Batch, deadline: float | None, done: asyncio.Future[None]) -> None:
        self.batch = batch
        self.deadline = deadline
        self.done = done


class Gatherer:
    """Emits what requests bring: of small ones together, one batch at a time; of large ones a few batches at once."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._waiting: deque[_Waiting] = deque()
        self._wanted = asyncio.Event()
        self._noted: dict[str, int] = {}
        self._turns = asyncio.Semaphore(TURNS)
        self._error: Exception | None = None

    async def put_next(self, batches: Iterator[Batch], patience_secs: float | None) -> Batch | None:
        """The next of these batches, once it is in the queue; None when there is none. Raises ``NoRoom`` when it cannot
        be for ``patience_secs``; then nothing of it is in the queue. When cancelled, it may still get in."""
        batch = next(batches, None)
        if batch is not None:
            await self._put(batch, patience_secs)
        return batch

    async def _put(self, batch: Batch, patience_secs: float | None) -> None:
        loop = asyncio.get_running_loop()
        deadline = None if patience_secs is None else loop.time() + patience_secs
        waiting = _Waiting(batch, deadline, loop.create_future())
        self._waiting.append(waiting)
        self._wanted.set()
        if deadline is None:
            return await waiting.done
        timer = loop.call_at(deadline, self._give_up, waiting)
        try:
            await waiting.done
        finally:
            timer.cancel()

    async def put_next_alone(self, batches: Iterator[Batch], patience_secs: float | None) -> Batch | None:
        """The same for the batches of a large request: the next is asked for when its turn has come, and goes alone."""
        loop = asyncio.get_running_loop()
        deadline = None if patience_secs is None else loop.time() + patience_secs
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError:
            raise NoRoom("the queue has no room") from None
        try:
            batch = next(batches, None)
            if batch is not None:
                batch.patience_secs = None if deadline is None else max(0.0, deadline - loop.time())
                await self._emit_alone(batch)
            return batch
        finally:
            self._turns.release()

    async def _emit_alone(self, batch: Batch) -> None:
        noted, self._noted = self._noted, {}
        batch.counts.add(Counts(noted=noted))
        try:
            await self._emit(batch)
        except NoRoom:
            self._note_again(noted)
            raise
        except Exception as error:
            self._error = error
            self._wanted.set()
            raise
        # Where records are dropped for want of room nothing has waited, and a large body would hold up everybody.
        await asyncio.sleep(0)

    def note(self, mark: str, count: int) -> None:
        """Count something that has no batch of its own with the next one."""
        self._noted[mark] = self._noted.get(mark, 0) + count

    async def run(self) -> None:
        """Emit until cancelled. An error of the queue ends it, whoever met it, and whoever waits is cancelled."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                if self._error is not None:
                    raise self._error
                while self._waiting:
                    await self._emit_together(self._next())
        finally:
            for waiting in self._waiting:
                waiting.done.cancel()

    async def flush_notes(self, input_id: str, read_at_ns: int) -> None:
        """Emit what was noted and went with no batch. To be called when ``run`` has ended."""
        if self._noted:
            noted, self._noted = self._noted, {}
            await self._emit(Batch(input_id, None, read_at_ns, [], {}, {}, Counts(noted=noted)))

    def _note_again(self, noted: Mapping[str, int]) -> None:
        for mark, count in noted.items():
            self.note(mark, count)

    def _give_up(self, waiting: _Waiting) -> None:
        """Its time is over. If it is being emitted its answer is not known yet: ``_emit_together`` gives it."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            _fail(waiting.done)

    def _next(self) -> list[_Waiting]:
        """Those that go together: the first, and those behind it that are like it, within the limits of a batch."""
        first = self._waiting.popleft()
        group = [first]
        records, size = len(first.batch.lines), first.batch.counts.bytes
        while self._waiting and _is_alike(first, self._waiting[0]):
            records += len(self._waiting[0].batch.lines)
            size += self._waiting[0].batch.counts.bytes
            if records > MAX_BATCH_RECORDS or size > BLOCK_BYTES:
                break
            group.append(self._waiting.popleft())
        return group

    async def _emit_together(self, group: list[_Waiting]) -> None:
        noted, self._noted = self._noted, {}
        try:
            await self._emit(_joined(group, noted))
        except NoRoom:
            self._note_again(noted)
            now = asyncio.get_running_loop().time()
            for waiting in reversed(group):
                if waiting.deadline is not None and waiting.deadline > now:
                    self._waiting.appendleft(waiting)
                else:
                    _fail(waiting.done)
        except BaseException:
            for waiting in group:
                waiting.done.cancel()
            raise
        else:
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_result(None)


def _joined(group: Sequence[_Waiting], noted: dict[str, int]) -> Batch:
    """One batch of all. It has counts of its own: the group may be offered again."""
    first = group[0].batch
    counts = Counts(noted=noted.copy())
    for waiting in group:
        counts.add(waiting.batch.counts)
    deadlines = [waiting.deadline for waiting in group if waiting.deadline is not None]
    patience = max(0.0, min(deadlines) - asyncio.get_running_loop().time()) if deadlines else None
    lines = first.lines if len(group) == 1 else [line for waiting in group for line in waiting.batch.lines]
    constants = first.constants.copy()
    return Batch(first.input, None, first.read_at_ns, lines, first.columns, constants, counts, patience_secs=patience)


def _is_alike(one: _Waiting, other: _Waiting) -> bool:
    """Whether they can be one batch: the same is known of their lines, and both may be told that there is no room."""
    return (
        (one.deadline is None) == (other.deadline is None)
        and one.batch.constants == other.batch.constants
        and not one.batch.columns
        and not other.batch.columns
    )


def _fail(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_exception(NoRoom("the queue has no room"))
