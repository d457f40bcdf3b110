"""Connections of a stream input: accepted, framed, and held back while the queue has no room.

All connections share one intake, and so one bound on what is held. Beside it each holds at most one unfinished
message; together no more than the intake's bound: whoever goes beyond it has
the message cut. A connection that nobody reads
for lack of room fills up in the kernel, and then its writer waits.

A sender learns nothing of what became of its bytes: TCP acknowledges that the kernel has them, not that we do. What is
in the kernel or on its way when we are killed is gone. Asked to stop, we accept no more, read what is there, and close.
"""

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import cast

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.framing import Framed, Framer
from agent.inputs.intake import Intake, Piece
from agent.inputs.line_batch import TRUNCATED
from agent.inputs.lines import shortened
from agent.inputs.listen import BACKLOG
from agent.inputs.messages import TORN, Facts
from agent.inputs.socket_options import SocketOptions
from agent.log import Log

HANDSHAKE_SECS = 10.0
DRAIN_SECS = 5.0
"""How long, at the end, a sender may keep us reading."""
_RETRY_SECS = 1.0
_POLL_SECS = 0.002
_PEER_CREDENTIALS = struct.Struct("3i")

_log = Log("inputs.connections")


class Connections:
    """The connections of one input. ``framer`` makes one for each; ``facts`` says what is known of a peer."""

    def __init__(
        self,
        options: SocketOptions,
        intake: Intake,
        framer: Callable[[], Framer],
        facts: Callable[[socket.socket], Facts],
        *,
        tls: ssl.SSLContext | None,
        max_connections: int,
        idle_secs: float | None,
    ) -> None:
        self.input_id = options.id
        self.intake = intake
        self.framer = framer
        self.facts = facts
        self.max_line = options.max_line
        self.max_held = max(options.buffer, options.max_line)
        self.held = 0
        self.open: set[_Connection] = set()
        self._tls = tls
        self._max_connections = max_connections
        self._idle_secs = idle_secs
        self._handshakes = 0

    def activity(self, quiet_secs: float) -> Activity:
        """See ``Input.activity``: who is connected could still write."""
        return self.intake.activity(quiet_secs, writers=len(self.open))

    def resume(self) -> None:
        """Read on, where reading was paused for want of room."""
        for connection in tuple(self.open):
            connection.resume()

    async def run(self, listeners: list[socket.socket], stop: Stop) -> None:
        """Serve until asked to stop; then read what is there and close."""
        async with asyncio.TaskGroup() as tasks:
            accepting = _Accepting(listeners, self._max_connections, self.input_id, tasks, self._serve)
            try:
                with accepting.listening():
                    closing = tasks.create_task(self._close_idle())
                    await stop.wait()
                    closing.cancel()
                accepting.accept_waiting()
                await self._drain()
            finally:
                for connection in tuple(self.open):
                    connection.leave()

    async def _serve(self, accepted: socket.socket) -> None:
        connection = _Connection(self, self.facts(accepted))
        loop = asyncio.get_running_loop()
        self._handshakes += 1
        try:
            if accepted.family != socket.AF_UNIX:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            handshake_secs = HANDSHAKE_SECS if self._tls else None
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=handshake_secs
            )
        except OSError as error:
            accepted.close()
            _log.warning("A connection was not taken", input=self.input_id, reason=error)
            return
        finally:
            self._handshakes -= 1
        try:
            await connection.closed.wait()
        finally:
            connection.leave()

    async def _close_idle(self) -> None:
        loop, idle_secs = asyncio.get_running_loop(), self._idle_secs
        while idle_secs is not None:
            await asyncio.sleep(idle_secs / 4)
            for connection in tuple(self.open):
                if not connection.paused and loop.time() - connection.read_at > idle_secs:
                    connection.leave()

    async def _drain(self) -> None:
        """Read until nothing is left in any connection, or it has taken too long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_SECS
        await asyncio.sleep(0)
        while (self._handshakes or any(c.has_more for c in self.open)) and loop.time() < end:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_POLL_SECS)


class _Accepting:
    """Accepts connections while there are fewer than the limit; each has a task. An accepted connection is never
    dropped on the way, as it could be with a cancelled ``sock_accept``."""

    def __init__(
        self,
        listeners: list[socket.socket],
        limit: int,
        input_id: str,
        tasks: asyncio.TaskGroup,
        serve: Callable[[socket.socket], Coroutine[None, None, None]],
    ) -> None:
        self._listeners = listeners
        self._limit = limit
        self._input = input_id
        self._tasks = tasks
        self._serve = serve
        self._count = 0
        self._open = False
        self._heard = False
        self._retry: asyncio.TimerHandle | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Accept while inside."""
        self._open = True
        self._hear()
        try:
            yield
        finally:
            self._open = False
            self._deafen()
            if self._retry is not None:
                self._retry.cancel()

    def accept_waiting(self) -> None:
        """Accept those who connected before we stopped listening."""
        for listener in self._listeners:
            for _ in range(BACKLOG):
                try:
                    self._take(listener.accept()[0])
                except OSError:
                    break

    def _hear(self) -> None:
        if self._open and not self._heard:
            self._heard = True
            for listener in self._listeners:
                asyncio.get_running_loop().add_reader(listener.fileno(), self._acceptable, listener)

    def _deafen(self) -> None:
        if self._heard:
            self._heard = False
            for listener in self._listeners:
                asyncio.get_running_loop().remove_reader(listener.fileno())

    def _acceptable(self, listener: socket.socket) -> None:
        while self._count < self._limit:
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor left, no memory
                _log.error("A connection cannot be accepted; trying again", input=self._input, reason=error)
                self._deafen()
                self._retry = asyncio.get_running_loop().call_later(_RETRY_SECS, self._hear)
                return
            self._take(accepted)
        self._deafen()
        _log.warning(
            "An input has as many connections as it may; others wait to be accepted",
            input=self._input, connections=self._limit,
        )  # fmt: skip

    def _take(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._count += 1
        self._tasks.create_task(self._serve(accepted)).add_done_callback(self._ended)

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._count -= 1
        if self._retry is None or self._retry.when() <= asyncio.get_running_loop().time():
            self._hear()


class _Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner: Connections, facts: Facts) -> None:
        self.closed = asyncio.Event()
        self.paused = False
        self.read_at = 0.0
        self._owner = owner
        self._facts = facts
        self._framer = owner.framer()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._uncounted = 0
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there, its handshake done."""
        # uvloop's are none by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._socket = transport.get_extra_info("socket")
        self.read_at = asyncio.get_running_loop().time()
        self._owner.open.add(self)

    def data_received(self, data: bytes) -> None:
        """Frame what came; stop reading if there is no room for more."""
        owner, framer = self._owner, self._framer
        self.read_at = asyncio.get_running_loop().time()
        self._uncounted += len(data)
        before = framer.held
        for framed in framer.feed(data):
            self._add(framed, TRUNCATED)
        owner.held += framer.held - before
        if owner.held > owner.max_held and framer.held:
            owner.held -= framer.held
            self._add(Framed([shortened(framer.give_up(), owner.max_line)], cut=True), TRUNCATED)
        if owner.intake.full and self._transport is not None and not self.paused:
            self.paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end: what is unfinished is kept, marked where it was torn off."""
        self._owner.open.discard(self)
        self._owner.held -= self._framer.held
        rest = self._framer.end()
        if rest.messages or self._uncounted:
            torn = rest.cut or exc is not None or self._leaving
            self._add(Framed(rest.messages, cut=torn and bool(rest.messages)), TORN)
        self.closed.set()

    @property
    def has_more(self) -> bool:
        """Whether there is something to read."""
        if self.paused:
            return True
        if self._socket is None or self._socket.fileno() < 0:
            return False
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.FIONREAD, b"\0" * 4))
        return bool(waiting)

    def resume(self) -> None:
        """Read on."""
        if self.paused and self._transport is not None:
            self.paused = False
            self._transport.resume_reading()

    def leave(self) -> None:
        """Close it now."""
        if self._transport is not None and not self.closed.is_set():
            self._leaving = True
            self._transport.abort()

    def _add(self, framed: Framed, mark: Facts) -> None:
        facts, noted = self._facts, {}
        if framed.cut:
            facts, noted = {**facts, **mark}, {"truncated": len(framed.messages)}
        self._owner.intake.add(Piece(framed.messages, self._uncounted, facts, noted=noted))
        self._uncounted = 0


async def read_connections(connections: Connections, listeners: list[socket.socket], emit: Emit, stop: Stop) -> None:
    """Serve until asked to stop, and return when all that was read is in the queue."""
    intake = connections.intake
    intake.resumed = connections.resume
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(intake.run(emit))
        await connections.run(listeners, stop)
        intake.close()


def peer_process(accepted: socket.socket) -> Facts:
    """Which process connected to a unix socket, and as whom."""
    pid, uid, _ = _PEER_CREDENTIALS.unpack(
        accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    )
    return {"process.pid": b"%d" % pid, "user.id": b'"%d"' % uid}
