"""A reader of lumberjack that does what it is told: Logstash's input ``beats`` on a bad day.

It decodes by itself (``struct``, the standard library's ``zlib``), as strictly as the strictest of the real ones: a
window begins with its frame, events are numbered from 1, compressed frames hold whole frames. Left alone it
acknowledges each window when all of it is taken, and a window of none with 0 if it ``knows_knocking``, as Logstash does
and others do not. ``faults`` are played one for each window that comes.
"""

import asyncio
import json
import socket
import struct
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Self

from tests.fakes.listening import socket_at


class Event(NamedTuple):
    """A taken event: the id in its document, if any, and the document without the metadata."""

    record: str
    document: bytes


class BadFrame(Exception):
    """What came is not lumberjack."""


def split_event(payload: bytes) -> Event:
    """An event from the wire. The metadata must be the first member, and a newline the end."""
    metadata, end = json.JSONDecoder().raw_decode(payload.decode().removeprefix('{"@metadata":'))
    assert metadata["beat"] == "modeltail"
    rest = payload.decode().removeprefix('{"@metadata":')[end:]
    assert rest.endswith("}\n")
    document = b"{" + rest.removeprefix(",").removesuffix("\n").encode()
    return Event(json.loads(document).get("event", {}).get("id", ""), document)


class Talk:
    """One connection, and the window on it that a fault is for."""

    def __init__(self, server: "FakeLumberjack", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self._reader = reader
        self.writer = writer
        self.events: list[Event] = []

    async def read_window(self) -> int:
        """Read a window into ``events``; how many it has. Raises ``BadFrame``, and asyncio's errors at the end."""
        kind = await self._reader.readexactly(2)
        if kind != b"2W":
            raise BadFrame(f"expected a window, got {kind!r}")
        (count,) = struct.unpack(">I", await self._reader.readexactly(4))
        if count > 10_000:
            raise BadFrame(f"a window of {count}")
        self.events = []
        while len(self.events) < count:
            kind = await self._reader.readexactly(2)
            if kind == b"2C":
                (length,) = struct.unpack(">I", await self._reader.readexactly(4))
                self._take_frames(zlib.decompress(await self._reader.readexactly(length)))
            elif kind == b"2J":
                head = await self._reader.readexactly(8)
                payload = await self._reader.readexactly(struct.unpack(">II", head)[1])
                self._take_frames(b"2J" + head + payload)
            else:
                raise BadFrame(f"unknown frame {kind!r}")
        if len(self.events) > count:
            raise BadFrame("more events than the window has")
        return int(count)

    def _take_frames(self, frames: bytes) -> None:
        while frames:
            kind, seq, length = struct.unpack_from(">2sII", frames)
            if kind != b"2J" or seq != len(self.events) + 1 or len(frames) < 10 + length:
                raise BadFrame(f"frame {kind!r} number {seq} behind event {len(self.events)}")
            self.events.append(split_event(frames[10 : 10 + length]))
            frames = frames[10 + length :]

    def take(self, count: int | None = None) -> None:
        """Keep the window's events, or the first so many: they are Logstash's now."""
        self.server.taken += self.events[:count]

    def say(self, seq: int) -> None:
        """Send an acknowledgement."""
        self.writer.write(struct.pack(">2sI", b"2A", seq))

    def hang_up(self) -> None:
        """End the connection as Logstash does, with a reset."""
        self.writer.transport.abort()


Fault = Callable[[Talk], Awaitable[None]]


async def close_server(server: asyncio.Server) -> None:
    """Close a listening server once what it has just accepted is a connection: closed before, it would forget those."""
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    for _ in range(3):
        await asyncio.sleep(0)
    server.close()


class FakeLumberjack:
    """The server. An async context manager; ``host`` stays the same when it goes away and comes back."""

    def __init__(self, *, knows_knocking: bool = True) -> None:
        self.knows_knocking = knows_knocking
        self.taken: list[Event] = []
        self.windows: list[int] = []
        self.connections = 0
        self.faults: deque[Fault] = deque()
        self.poisoned: set[str] = set()
        self.bad: list[str] = []
        self.port = 0
        self._held: socket.socket
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """As the output's configuration names it."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        # Bound and not listening, it keeps the port ours while the server is away; connections are refused meanwhile.
        self._held = socket_at(0)
        self.port = self._held.getsockname()[1]
        await self.come_back()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.go_away()
        self._held.close()
        assert self.bad == []

    async def come_back(self) -> None:
        """Listen, at the port it had before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_port=True)

    async def go_away(self) -> None:
        """Listen no more, and break every connection."""
        if self._server is not None:
            await close_server(self._server)
            self._server = None
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        self.connections += 1
        talk = Talk(self, reader, writer)
        try:
            with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    count = await talk.read_window()
                    if count:
                        self.windows.append(count)
                        await self._answer(talk)
                    elif self.knows_knocking:
                        talk.say(0)
        except (BadFrame, zlib.error, ValueError, AssertionError) as error:
            self.bad.append(repr(error))
        finally:
            self._talking.discard(task)
            talk.hang_up()

    async def _answer(self, talk: Talk) -> None:
        if any(event.record in self.poisoned for event in talk.events):
            talk.hang_up()
        elif self.faults:
            await self.faults.popleft()(talk)
        else:
            talk.take()
            talk.say(len(talk.events))


# Faults.


async def hangs_up(talk: Talk) -> None:
    """Takes nothing and hangs up, as a pipeline that stops."""
    talk.hang_up()


async def loses_answer(talk: Talk) -> None:
    """Takes all and hangs up before it says so."""
    talk.take()
    talk.hang_up()


async def never_answers(talk: Talk) -> None:
    """Says nothing any more."""
    await asyncio.Event().wait()


async def says_garbage(talk: Talk) -> None:
    """Answers in another protocol."""
    talk.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def acknowledges_too_much(talk: Talk) -> None:
    """More than was sent."""
    talk.say(10_001)


def takes(count: int, then: Fault) -> Fault:
    """Takes and acknowledges so many, one by one, and then the rest of the window meets another fault."""

    async def fault(talk: Talk) -> None:
        talk.take(count)
        for seq in range(1, count + 1):
            talk.say(seq)
        await talk.writer.drain()
        talk.events = talk.events[count:]
        await then(talk)

    return fault


def is_alive_until(done: asyncio.Event, every_secs: float, then: Fault) -> Fault:
    """Says that it is alive, and goes on when told to."""

    async def fault(talk: Talk) -> None:
        while not done.is_set():
            talk.say(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(every_secs):
                    await done.wait()
        await then(talk)

    return fault


async def answers_byte_by_byte(talk: Talk) -> None:
    """Each byte of what it says goes out by itself."""
    talk.take()
    for byte in struct.pack(">2sI2sI", b"2A", 0, b"2A", len(talk.events)):
        talk.writer.write(bytes([byte]))
        await talk.writer.drain()
        await asyncio.sleep(0)
