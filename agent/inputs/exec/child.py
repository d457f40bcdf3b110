"""The model as a process: started with its output in pipes of ours, signalled, waited for, and outlived.

A process of ours in every respect: same process group (a terminal's Ctrl-C and Ctrl-Z reach both), same environment,
same standard input. It is never bound to our life: if we are killed, it goes on, and its next write meets a broken
pipe.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

import msgspec

from agent.inputs.exec.command_line import shown
from agent.log import Log

PIPE_BYTES: Final = 1024**2
"""Room asked for in each pipe, so that a burst does not make the model wait while lines gather."""
NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
STOPPING: Final = frozenset((signal.SIGINT, signal.SIGTERM))
"""The signals that ask the model, and with it us, to stop."""
_STREAMS: Final = ("stdout", "stderr")

_log = Log("inputs.exec")


class Ended(msgspec.Struct, frozen=True):
    """How the model ended: by itself with a status, or by a signal."""

    status: int
    signum: int = 0

    @property
    def exit_status(self) -> int:
        """As a shell has it: 128 and more for a signal."""
        return 128 + self.signum if self.signum else self.status


class Child:
    """The model. A context manager that holds the pipes; ``start`` at most once within it.

    ``patience_secs`` is how long it has to end once it was asked to; ``command_line``
    is the command to be shown, without ``secrets``. ``told`` are the signals it was sent or got from
    the terminal. Safe to use from any thread.
    """

    def __init__(self, command: Sequence[str], patience_secs: float, secrets: Sequence[str] = ()) -> None:
        self.command = list(command)
        self.command_line = shown(command, secrets)
        # As it is now: what we set for libraries of ours is not the model's.
        self._environment = dict(os.environ)
        heeded = [signum for signum in STOPPING if signal.getsignal(signum) is not signal.SIG_IGN]
        self._not_ignored = (signal.SIGPIPE, signal.SIGXFSZ, *heeded)
        self.patience_secs = patience_secs
        self.pid = 0
        self.ended: Ended | None = None
        self.ended_at_ns = 0
        self.told: set[int] = set()
        self.killed = False
        """Whether it was killed for not ending in time."""
        self.heard = False
        """Whether all it wrote, and how it ended, is in the queue."""
        self.pipes: dict[str, int] = {}
        """The reading ends, by name of the stream; non-blocking."""
        self._writing: list[int] = []
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._at_the_end: list[Callable[[], object]] = []
        self._asked: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        for name in _STREAMS:
            self.pipes[name], writing = os.pipe()
            self._writing.append(writing)
            os.set_blocking(self.pipes[name], False)
            try:
                fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            except OSError as error:
                _log.debug("The pipe keeps its size", reason=error)
        return self

    def __exit__(self, *exc: object) -> None:
        self._close_writing()
        for fd in self.pipes.values():
            os.close(fd)

    @property
    def was_started(self) -> bool:
        """Whether it was started, or that was tried."""
        return self.pid != 0 or self.ended is not None

    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be started: nobody has, and nobody asked it to end."""
        return not self.was_started and not self.told & STOPPING

    @property
    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self.pid != 0 and self.ended is None

    @property
    def exit_status(self) -> int:
        """What we exit with: the model's status; of one that was never started, that of one stopped by what stopped
        us."""
        if self.ended is not None:
            return self.ended.exit_status
        return 128 + min(self.told & STOPPING, default=signal.SIGTERM)

    def start(self) -> None:
        """Start the model, and send it what it was told before.

        Raises:
            OSError: the command cannot be run; ``ended`` then has the status a shell would give it.
        """
        with self._lock:
            try:
                self.pid = self._spawn()
            except OSError as error:
                missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
                self.ended = Ended(NOT_FOUND if missing else NOT_RUNNABLE)
                raise
            finally:
                self._close_writing()
            for signum in self.told:
                os.kill(self.pid, signum)
        threading.Thread(target=self._reap, name="exec-reap", daemon=True).start()

    def send_signal(self, signum: int, *, has_it: bool = False) -> None:
        """Send the model a signal, if it lives. ``has_it``: the terminal did, there is nothing to send."""
        with self._lock:
            if self.ended is None:
                self.told.add(signum)
            if self.is_alive and not has_it:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self.pid, signum)
        if signum in STOPPING and self._asked is not None:
            _tell(self._asked)

    def when_asked(self, call: Callable[[], object]) -> None:
        """Have this called, on any thread, for every signal that asks to stop; at once if one did before."""
        self._asked = call
        if self.told & STOPPING:
            call()

    def kill(self) -> None:
        """End it for good, because it did not end in time."""
        self.killed = True
        self.send_signal(signal.SIGKILL)

    def when_ended(self, call: Callable[[], object]) -> None:
        """Have this called, on another thread, when it has ended; at once if it has."""
        with self._lock:
            if self.ended is None:
                self._at_the_end.append(call)
                return
        call()

    async def wait(self) -> Ended:
        """Wait until it has ended."""
        over = asyncio.Event()
        self.when_ended(partial(asyncio.get_running_loop().call_soon_threadsafe, over.set))
        await over.wait()
        assert self.ended is not None
        return self.ended

    def wait_blocking(self) -> Ended:
        """Likewise, without an event loop."""
        self._gone.wait()
        assert self.ended is not None
        return self.ended

    def _spawn(self) -> int:
        return os.posix_spawnp(
            self.command[0],
            self.command,
            self._environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(self._writing, 1)],
            # What we hold back or ignore is ours, not the model's.
            setsigmask=(),
            setsigdef=self._not_ignored,
        )

    def _close_writing(self) -> None:
        for fd in self._writing:
            os.close(fd)
        self._writing = []

    def _reap(self) -> None:
        """Wait for the model to end; as the first process of a container also for every orphan that is left to us."""
        kind, which = (os.P_ALL, 0) if os.getpid() == 1 else (os.P_PID, self.pid)
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(kind, which, os.WEXITED | os.WNOWAIT)
                if found is None:
                    continue
                # The number of a process is free for another once it is reaped: no signal may be under way then.
                with self._lock:
                    os.waitid(os.P_PID, found.si_pid, os.WEXITED)
                    if found.si_pid == self.pid:
                        exited = found.si_code == os.CLD_EXITED
                        self._has_ended(Ended(found.si_status) if exited else Ended(0, found.si_status))
                if kind == os.P_PID:
                    return

    def _has_ended(self, ended: Ended) -> None:
        self.ended_at_ns = time.monotonic_ns()
        self.ended = ended
        self._gone.set()
        for call in self._at_the_end:
            _tell(call)


def _tell(call: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # an event loop that is closed waits for nothing
        call()
