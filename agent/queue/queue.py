"""The queue: the only buffer that grows, and the one owner of its folder.

What it promises, and the tests hold it to:

* What ``append`` returned for is in a segment and survives the process; after the next sync it survives the power too.
* Records and the positions behind them are one write: after any crash an input resumes exactly behind the last record
  that survived.
* A frame is shown to outputs only after its sync (``sync: never`` excepted), and only when its group is complete.
* A segment is deleted only when every cursor is past it, durably; the newest sealed one stays for its positions.
* Sequence numbers only grow. A new process starts a new segment.
* Memory does not depend on the backlog: what is held is the batches waiting for the writer and the groups not yet
  synced.

The write-ahead log (``wal``) does what blocks; here is what runs around it on the event loop: groups, syncs, and what
to do when the disk fails. Who waits and what is dropped when there is no room is ``admission``'s, when a segment may go
is ``housekeeping``'s. Three threads: one writes, one syncs, one reads and moves cursors.
"""

import asyncio
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from agent.errors import NoRoom, QueueError
from agent.log import Log
from agent.queue.admission import Admission
from agent.queue.config import MaxLag, OnFull, QueueConfig, ShedLevel
from agent.queue.cursor import Cursor
from agent.queue.cursor_file import CursorFiles
from agent.queue.disk import Disk, RealDisk
from agent.queue.frame import Stored
from agent.queue.group import Entry, deflate_large
from agent.queue.housekeeping import Housekeeping
from agent.queue.late import Late
from agent.queue.reader import Extent
from agent.queue.recovery import Recovered
from agent.queue.start import recover_at_start
from agent.queue.subscription import Subscription
from agent.queue.wal import Segment, WriteAheadLog
from agent.record import Counts

if TYPE_CHECKING:
    from agent.queue.receipts import Receipts

GROUP_BYTES = 8 * 1024**2
"""Batches waiting together are written as one group up to about this many bytes, uncompressed."""
DISK_RETRY_SECS = 1.0
COUNTS_SECS = 1.0
"""What is dropped for want of room is counted on disk within this time; were it at once, a full queue would grow."""
_LEAST_SEGMENT = 64 * 1024
LOCK = "lock"

_log = Log("queue")
T = TypeVar("T")


class _Waiting(msgspec.Struct, eq=False):
    entry: Entry
    raw_bytes: int
    on_full: OnFull
    done: asyncio.Future[None]


class Queue:
    """See the module. Made by ``open_queue``; attributes are for reading only."""

    def __init__(self, config: QueueConfig, run: str, disk: Disk, recovered: Recovered) -> None:
        self.disk = disk
        self.run = run
        self.folder: Path = config.path
        self.visible_changed = asyncio.Event()
        self.subscriptions: dict[str, Subscription] = {}
        self.progress = 0
        """Grows whenever something is written or finished; the watchdog looks at it."""
        self._config = config
        self._wal = WriteAheadLog(
            disk, config.path, run, recovered,
            segment_bytes=_segment_bytes(config, disk.free(config.path)),
            show_unsynced=config.sync == "never",
            cursors=lambda: self._cursor_files.encoded,
        )  # fmt: skip
        self._cursor_files = CursorFiles(disk, config.path, recovered.cursors)
        self._housekeeping = Housekeeping(
            self._wal,
            self._cursor_files,
            lambda: self.receipts,
            self.subscriptions,
            self._on_writer,
            self.on_reader,
            lambda: bool(self.trouble),
        )
        self._admission = Admission(config, self._wal, self._housekeeping)
        self._unreadable_cursors = set(recovered.unreadable_cursors)
        self._lost_cursors = recovered.lost_cursors
        for cursor in (*self._cursor_files.cursors.values(), *self._lost_cursors.values()):
            cursor.settle_drops()
        self._waiting: list[_Waiting] = []
        self._group: list[_Waiting] = []
        self._written: list[_Waiting] = []
        self._unsynced_waiters: list[asyncio.Future[None]] = []
        self._late = Late()
        self._write_wanted = asyncio.Event()
        self._sync_wanted = asyncio.Event()
        self._syncing = asyncio.Lock()
        self._written_at = 0.0
        self._closed = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, "queue-write")
        self._syncer = ThreadPoolExecutor(1, "queue-sync")
        self._reader = ThreadPoolExecutor(1, "queue-read")

    # What others see.

    @property
    def total(self) -> int:
        """Records appended over the queue's whole life."""
        return self._wal.state.total

    @property
    def visible_seq(self) -> int:
        """The last sequence number that outputs may see."""
        return self._wal.visible_seq

    @property
    def visible(self) -> tuple[int, int]:
        """The same, and the queue's total behind it."""
        return self._wal.visible

    @property
    def counts(self) -> dict[str, Counts]:
        """The cumulative counts of each input, with what is not yet on disk of them."""
        return self._late.added_to(self._wal.state.counts)

    @cached_property
    def receipts(self) -> "Receipts":
        """What ids were given in segments that are deleted. Loaded with the first of them."""
        from agent.queue.receipts import Receipts

        return Receipts(self.disk, self.folder)

    @property
    def segments(self) -> list[Segment]:
        """The segments, oldest first."""
        return self._wal.segments

    @property
    def used_bytes(self) -> int:
        """Bytes the segments take on disk."""
        return self._wal.used_bytes

    @property
    def has_waiting(self) -> bool:
        """Whether batches wait to be written or synced."""
        return bool(self._waiting or self._group or self._written) or self._wal.has_unsynced

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at the moment, or None."""
        return self._admission.trouble

    @property
    def is_full(self) -> bool:
        """Whether inputs wait for room, or the disk takes nothing."""
        return self._admission.is_full

    @property
    def shed_below(self) -> ShedLevel | None:
        """Records below this level are to be dropped before they come here, for want of room; None when none are."""
        return self._admission.shed_below

    @property
    def max_bytes(self) -> int:
        """Bytes they may take."""
        return self._config.max_bytes

    @property
    def cursors(self) -> dict[str, Cursor]:
        """The cursor of every output that holds records here, configured or not."""
        return self._cursor_files.cursors

    def positions(self, input_id: str) -> dict[str, bytes]:
        """How far the input's sources were read: ``Origin.state`` by source."""
        return {source: o.state for (owner, source), o in self._wal.state.origins.items() if owner == input_id}

    def subscribe(
        self, output: str, *, from_oldest: bool, own_cursor: Cursor | None = None, max_lag: MaxLag | None = None
    ) -> Subscription:
        """The output's end of the queue. A new output starts at now, or at the oldest record still here. ``own_cursor``
        is what the output itself stored in its transactions, and is believed before the queue's own copy, but for what
        was dropped by policy since. ``max_lag`` is what the output may hold back when the queue is full."""
        known = self._cursor_files.cursors.get(output) or self._lost_cursors.get(output)
        cursor = own_cursor or known or self._fresh_cursor(from_oldest or output in self._unreadable_cursors)
        if own_cursor is not None and known is not None:
            own_cursor.take_drops(known)
        # A cursor made just now knows nothing that the queue does not.
        if (own_cursor or known) and (missing := self._wal.reach(*cursor.end)):
            _log.error(
                "Counts and positions of records are lost; the ledger has them under the input `?`",
                path=str(self.folder),
                records=missing,
            )
        self._housekeeping.own(output, cursor)
        subscription = Subscription(self, output, cursor, max_lag)
        self.subscriptions[output] = subscription
        return subscription

    def _fresh_cursor(self, from_oldest: bool) -> Cursor:
        if from_oldest and self._wal.segments:
            oldest = self._wal.segments[0]
            return Cursor(low=oldest.name.base - 1, low_total=oldest.begin_total, start_total=oldest.begin_total)
        return Cursor(low=self._wal.state.seq, low_total=self._wal.state.total, start_total=self._wal.state.total)

    def recent(self, seq: int) -> list[Stored]:
        """The frames from ``seq`` on, if they are those last made visible: at a trickle nobody needs to read them
        back."""
        recent = self._wal.recent
        return recent if recent and recent[0].frame.seq == seq else []

    def extents(self) -> list[Extent]:
        """What readers may read, oldest first."""
        return self._wal.extents()

    async def on_reader(self, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking call on the reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, function, *args)

    def cursor_moved(self, output: str) -> None:
        """An output finished something: write its cursor soon, and see what may be deleted."""
        self.progress += 1
        self._housekeeping.moved(output)

    # Appending.

    async def append(self, entry: Entry, on_full: OnFull, patience_secs: float | None = None) -> None:
        """Put a batch into the queue; returns when it is there as far as the sync policy says.

        When the queue is full, or the disk takes nothing, it waits, drops the oldest segment, or drops the batch
        (counted as ``queue_full``), as ``on_full`` says; neither kind of dropping waits for the disk. What is dropped
        is counted, and its position moved, in one write, at the latest a second after the disk takes any: a process
        killed before that has neither, and reads the records again where the input can. A cancelled append may still
        be written, together with its position. Raises ``NoRoom`` when it would have to wait longer than
        ``patience_secs`` to be let in; then nothing of it is in the queue.
        """
        raw_bytes = entry.raw_bytes
        if not await self._admitted(raw_bytes, on_full, patience_secs):
            self._drop(entry)
            return
        deflate_large(entry)
        waiting = _Waiting(entry, raw_bytes, on_full, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._admission.waiting_bytes += raw_bytes
        self._write_wanted.set()
        await waiting.done

    async def _admitted(self, raw_bytes: int, on_full: OnFull, patience_secs: float | None) -> bool:
        if patience_secs is None:
            return await self._admission.admit(raw_bytes, on_full)
        try:
            async with asyncio.timeout(patience_secs):
                return await self._admission.admit(raw_bytes, on_full)
        except TimeoutError:
            raise NoRoom("the queue has no room") from None

    def _drop(self, entry: Entry) -> None:
        if not self._late:
            self._write_wanted.set()
        self._late.drop(entry)

    async def _write_loop(self) -> None:
        while self._waiting or self._late or not self._closed.is_set():
            if not self._waiting and not self._closed.is_set():
                self._write_wanted.clear()
                try:
                    async with asyncio.timeout(COUNTS_SECS if self._late else None):
                        await self._write_wanted.wait()
                    continue
                except TimeoutError:
                    pass
            self._group = self._next_group()
            await self._write_group()
            written, self._written = self._written, []
            for waiting in written:
                self._admission.waiting_bytes -= waiting.raw_bytes
                if self._config.sync == "always":
                    self._unsynced_waiters.append(waiting.done)
                else:
                    _resolve(waiting.done)
            if self._config.sync == "never":
                self.wake_readers()
            if self._wal.is_full:
                await self.sync()
                await self._on_writer(self._wal.seal)
            if self._wal.has_unsynced:
                self._sync_wanted.set()

    def _next_group(self) -> list[_Waiting]:
        size = n = 0
        for waiting in self._waiting:
            size += waiting.raw_bytes
            if n and size > GROUP_BYTES:
                break
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group

    async def _write_group(self) -> None:
        """Returns when the group is written, however long the disk is in trouble, or dropped as its inputs wish."""
        rested = time.monotonic() - self._written_at >= self._config.sync_interval
        if rested and self._config.sync == "interval" and not self._syncing.locked():
            # At a trickle the sync is due anyway: one hop to a thread does both.
            async with self._syncing:
                await self._make_durable(await self._write(sync=True))
        else:
            await self._write(sync=False)
        self._written_at = time.monotonic()
        self.progress += 1

    async def _write(self, *, sync: bool) -> OSError | None:
        """Write the group, and with ``sync`` try to sync in the same go; returns what the sync failed with."""
        made_room = False
        while True:
            try:
                if self._wal.must_sync_first:
                    await (self._make_durable(None) if sync else self.sync())
                failure = await self._write_once(sync)
            except OSError as error:
                made_room = await self._overcome(error, made_room)
            else:
                self._mended()
                return failure

    async def _write_once(self, sync: bool) -> OSError | None:
        # What is being written, or is written, is out of ``_in_trouble``'s reach.
        self._written, self._group = self._group, []
        # What was dropped before the group comes before it: the positions behind the group are the newer ones.
        entries = [*self._late.take(self._wal.state.counts), *(waiting.entry for waiting in self._written)]
        try:
            failure = await self._on_writer(self._append_blocking, entries, sync)
        except OSError:
            self._group, self._written = self._written, []
            self._late.not_written()
            raise
        self._late.written()
        return failure

    async def _overcome(self, error: OSError, made_room: bool) -> bool:
        """A write failed: make room for it, but if that was done just before, or does not help, wait a little. True if
        room was made."""
        if not made_room and await self._admission.make_room_for(error):
            return True
        await self._in_trouble(error)
        return False

    async def _in_trouble(self, error: OSError) -> None:
        """Nothing can be written: say so, drop the records of inputs that are not to wait, wait a little."""
        self._admission.trouble = error.strerror or str(error)
        _log.error(
            "The queue cannot be written; nothing accepted is lost, inputs wait or shed",
            path=str(self.folder),
            error=self.trouble,
        )
        self._waiting = self._drop_all_but_blocking(self._waiting)
        self._group = self._drop_all_but_blocking(self._group)
        self._housekeeping.room.set()  # whoever waits for room is to think again
        self._housekeeping.hurry()
        await asyncio.sleep(DISK_RETRY_SECS)

    def _drop_all_but_blocking(self, batches: list[_Waiting]) -> list[_Waiting]:
        for waiting in batches:
            if waiting.on_full != "block":
                self._drop(waiting.entry)
                self._admission.waiting_bytes -= waiting.raw_bytes
                _resolve(waiting.done)
        return [waiting for waiting in batches if waiting.on_full == "block"]

    def _mended(self) -> None:
        if self.trouble:
            _log.info("The queue can be written again", path=str(self.folder))
            self._admission.trouble = None
            self._housekeeping.room.set()

    def _append_blocking(self, entries: list[Entry], sync: bool) -> OSError | None:
        least = self._config.min_free
        if least and self.disk.free(self.folder) < least + sum(entry.raw_bytes for entry in entries):
            raise OSError(errno.ENOSPC, f"less than min_free ({least} bytes) would be free on the disk")
        self._wal.append(entries)
        if sync:
            try:
                self._wal.sync()
            except OSError as error:
                return error
        return None

    async def _on_writer(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *args)

    # Syncing.

    async def _sync_loop(self) -> None:
        """Sync at most once an interval, but at once after a pause; with ``always``, whenever something is there."""
        synced_at = 0.0
        pause = self._config.sync_interval if self._config.sync == "interval" else 0.0
        while not self._closed.is_set():
            await self._sync_wanted.wait()
            with contextlib.suppress(TimeoutError):  # the interval may be long; nobody waits for its end to close
                async with asyncio.timeout(max(0.0, synced_at + pause - time.monotonic())):
                    await self._closed.wait()
            self._sync_wanted.clear()
            synced_at = time.monotonic()
            await self.sync()

    async def sync(self) -> None:
        """Make everything written so far durable and visible, however long the disk is in trouble."""
        async with self._syncing:
            waiters, self._unsynced_waiters = self._unsynced_waiters, []
            await self._make_durable(None)
            for waiter in waiters:
                _resolve(waiter)

    async def _make_durable(self, failure: OSError | None) -> None:
        """Sync until it succeeds. ``failure`` is that of a sync just tried. To be called with ``_syncing`` held."""
        while failure or self._wal.has_unsynced:
            if failure:
                _log.error(
                    "A sync of the queue failed; what was not yet durable is written again to a new segment",
                    path=str(self.folder),
                    error=str(failure),
                )
                await self._rewrite()
            try:
                failure = None
                await asyncio.get_running_loop().run_in_executor(self._syncer, self._wal.sync)
            except OSError as error:
                failure = error
        self.wake_readers()

    async def _rewrite(self) -> None:
        made_room = False
        while True:
            try:
                await self._on_writer(self._wal.rewrite)
            except OSError as error:
                made_room = await self._overcome(error, made_room)
            else:
                return self._mended()

    def wake_readers(self) -> None:
        """Let everyone who waits for ``visible_changed`` look again."""
        changed, self.visible_changed = self.visible_changed, asyncio.Event()
        changed.set()

    # Life.

    def _close(self) -> None:
        """Let the loops end once what is waiting is written."""
        self._closed.set()
        self._write_wanted.set()
        self._sync_wanted.set()
        self._housekeeping.close()

    def _release(self) -> None:
        for thread in (self._writer, self._syncer, self._reader):
            thread.shutdown(wait=True)
        for subscription in self.subscriptions.values():
            subscription.close()
        self._cursor_files.close()
        self._wal.close()


def _segment_bytes(config: QueueConfig, free_bytes: int) -> int:
    """Segments are at most an eighth of what there is room for: several must fit, or none could ever be deleted."""
    return min(config.segment_bytes, max(_LEAST_SEGMENT, min(config.max_bytes, free_bytes) // 8))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextlib.asynccontextmanager
async def open_queue(config: QueueConfig, run: str, disk: Disk | None = None) -> AsyncIterator[Queue]:
    """Take the folder, recover what it holds, and run the queue until the block ends; then what was accepted is written
    and synced.

    Raises ``QueueError`` when the folder cannot be used: another agent holds it, or we may not write there.
    """
    disk = disk or RealDisk()
    try:
        disk.make_folder(config.path)
        lock = disk.lock(config.path / LOCK)
    except BlockingIOError:
        raise QueueError(
            f"the queue in {config.path} is in use by another modeltail; give each agent a queue.path of its own"
        ) from None
    except OSError as error:
        raise QueueError(f"the queue folder {config.path} cannot be used: {error.strerror or error}") from error
    try:
        try:
            recovered = recover_at_start(disk, config.path)  # nothing else runs yet that could be held up
        except OSError as error:
            raise QueueError(f"the queue folder {config.path} cannot be read: {error.strerror or error}") from error
        queue = Queue(config, run, disk, recovered)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(queue._write_loop(), name="queue-write")
                tasks.create_task(queue._sync_loop(), name="queue-sync")
                tasks.create_task(queue._housekeeping.run(), name="queue-tidy")
                yield queue
                queue._close()
            await queue.sync()
            with contextlib.suppress(OSError):
                await queue._on_writer(queue._wal.confirm)
            await queue._housekeeping.tidy()
        finally:
            queue._release()
    finally:
        disk.close(lock)
