"""The ``stdin`` input: lines written into modeltail, until the writer ends.

There is no position to go back to: what was read and not yet in the queue when modeltail dies is gone, and the
writer's next write fails. Files are the safer way.
"""

import asyncio
import errno
import fcntl
import os
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from agent.inputs.assembly.assembly import Assembly, joining
from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.line_assembler import LineAssembler
from agent.inputs.line_batch import LineBatches, label_constants
from agent.inputs.lines import BLOCK_BYTES
from agent.inputs.stdin.config import StdinConfig
from agent.log import Log

PIPE_BYTES = 1024**2
"""Room asked for in the pipe, so that a burst does not make the writer wait while lines gather."""
_BUSY_BYTES = 64 * 1024
"""A read this large means that the writer is in a hurry: then nothing is waited for."""

_log = Log("inputs.stdin")


class StdinInput:
    """Reads lines from ``fd`` until it ends; ``run`` then returns. Asked to stop, it reads what is there already, an
    unfinished line included."""

    def __init__(self, config: StdinConfig, fd: int = 0) -> None:
        self.id = config.id
        self._config = config
        self._fd = fd

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until the end of the stream or until asked to stop. When cancelled, lines read but not emitted are
        lost."""
        batches = LineBatches(self.id, self._config.include_lines, self._config.exclude_lines)
        labels = label_constants(self._config.labels)
        lines = LineAssembler(self._config.max_line)
        assembly = Assembly(joining("plain", self._config.multiline, self._config.max_line))
        woken = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            waker = tasks.create_task(_wake_when_asked(stop, woken))
            with _readiness(self._fd, woken) as ready:
                ended = False
                while not ended:
                    data = await self._read(ready, woken, stop, assembly.due)
                    ended = data == b""
                    read_at_ns = time.time_ns()
                    for piece in lines.feed(data or b"", ended=ended):
                        made = assembly.feed(piece, time.monotonic())
                        await emit(batches.make(made, labels, None, read_at_ns, offsets=False))
                    if not data:
                        made = assembly.flush(0, None if ended else time.monotonic())
                        if made.lines:
                            await emit(batches.make(made, labels, None, read_at_ns, offsets=False))
                        continue
                    if len(data) >= _BUSY_BYTES or not ready.pollable:
                        await asyncio.sleep(0)  # others' turn
                    else:
                        await stop.wait(self._config.linger)
            waker.cancel()

    async def activity(self, quiet_secs: float) -> Activity:
        """Always busy: the stream ends when its writers have."""
        return "busy"

    async def _read(self, ready: "_Readiness", woken: asyncio.Event, stop: Stop, until: float | None) -> bytes | None:
        """The next bytes; none at the end of the stream, or when asked to stop and nothing is there. None if nothing
        came ``until`` then (monotonic seconds)."""
        while not ready.now():
            if stop.asked:
                return b""
            woken.clear()
            ready.listen()
            try:
                async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                    await woken.wait()
            except TimeoutError:
                return None
        try:
            return os.read(self._fd, BLOCK_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal that went away says so
                _log.error("Standard input cannot be read any more", input=self.id, reason=error)
            return b""


class _Readiness:
    """Whether a read would return at once. The descriptor is not made non-blocking: it is shared with whoever gave it
    to us."""

    def __init__(self, fd: int, woken: asyncio.Event) -> None:
        self._fd = fd
        self._woken = woken
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN | select.POLLHUP)
        self._listening = False
        self.pollable = not stat.S_ISREG(os.fstat(fd).st_mode) and _can_wait_for(fd)

    def now(self) -> bool:
        return bool(self._poll.poll(0))

    def listen(self) -> None:
        """Set ``woken`` once when there is something to read."""
        if not self._listening:
            asyncio.get_running_loop().add_reader(self._fd, self._readable)
            self._listening = True

    def deaf(self) -> None:
        if self._listening:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._listening = False

    def _readable(self) -> None:
        self.deaf()
        self._woken.set()


@contextmanager
def _readiness(fd: int, woken: asyncio.Event) -> Iterator[_Readiness]:
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError as error:
            _log.debug("The pipe keeps its size", reason=error)
    ready = _Readiness(fd, woken)
    try:
        yield ready
    finally:
        ready.deaf()


def _can_wait_for(fd: int) -> bool:
    """False for what is always ready and cannot be waited for, such as ``/dev/null``."""
    with select.epoll() as probe:
        try:
            probe.register(fd, select.EPOLLIN)
        except PermissionError:
            return False
    return True


async def _wake_when_asked(stop: Stop, woken: asyncio.Event) -> None:
    await stop.wait()
    woken.set()
