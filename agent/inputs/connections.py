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
from collections.abc import Callable

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.framing import Framed, Framer
from agent.inputs.intake import Intake, Piece
from agent.inputs.lines import shortened
from agent.inputs.messages import CUT_LINE, TORN, Facts
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
        self._slots = asyncio.Semaphore(max_connections)
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
            accepting = [tasks.create_task(self._accept(listener, tasks, stop)) for listener in listeners]
            if self._idle_secs is not None:
                accepting.append(tasks.create_task(self._close_idle(self._idle_secs)))
            try:
                await stop.wait()
                for task in accepting:
                    task.cancel()
                await asyncio.sleep(0)
                for listener in listeners:
                    self._accept_waiting(listener, tasks)
                await self._drain()
            finally:
                for connection in tuple(self.open):
                    connection.leave()

    async def _accept(self, listener: socket.socket, tasks: asyncio.TaskGroup, stop: Stop) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._slots.locked():
                _log.warning(
                    "An input has as many connections as it may; others wait to be accepted",
                    input=self.input_id, connections=self._max_connections,
                )  # fmt: skip
            await self._slots.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._slots.release()
                _log.error("A connection cannot be accepted; trying again", input=self.input_id, reason=error)
                await stop.wait(_RETRY_SECS)
                continue
            except BaseException:
                self._slots.release()
                raise
            serving = tasks.create_task(self._serve(accepted))
            serving.add_done_callback(lambda _: self._slots.release())

    def _accept_waiting(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        """Accept those who connected before we were asked to stop."""
        for _ in range(self._max_connections):
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            accepted.setblocking(False)
            tasks.create_task(self._serve(accepted))

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

    async def _close_idle(self, idle_secs: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
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
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream has a transport of its own")
        self._transport = transport
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
            self._add(framed, CUT_LINE)
        owner.held += framer.held - before
        if owner.held > owner.max_held and framer.held:
            owner.held -= framer.held
            self._add(Framed([shortened(framer.give_up(), owner.max_line)], cut=True), CUT_LINE)
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
