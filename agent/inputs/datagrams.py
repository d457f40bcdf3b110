"""Reading a datagram socket: as many as are there at each wake, and what the kernel dropped.

A socket of ours has a receive buffer; when it is full the kernel drops datagrams, without a word to the sender. It
counts them (``SO_MEMINFO``, the ninth number; since Linux 4.12), wrapping at 32 bits. `Datagrams.lost` reads the
count, so that sent = read + lost once the socket is empty.

Asked to stop, an internet socket is connected to itself: from then on the kernel refuses others' datagrams as if it
were closed, and what is in the buffer can be read to its end. A socket that systemd passed is left as it is: what is
not read stays there for the next process.
"""

import asyncio
import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from agent.inputs.contract import Emit, Stop
from agent.inputs.gelf import CHUNK, Broken, Chunks
from agent.inputs.intake import Intake, Piece
from agent.inputs.messages import CUT_BY_KERNEL, NOTHING, Facts
from agent.log import Log

_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")
_DROPS = 8
_PER_WAKE = 256
"""Datagrams read before others have their turn."""
_PER_WAKE_BYTES = 1024**2
_WAIT_SECS = 0.01

_log = Log("inputs.datagrams")


class Datagrams:
    """One bound datagram socket. A datagram longer than ``max_bytes`` is cut and marked."""

    def __init__(
        self, bound: socket.socket, intake: Intake, *, max_bytes: int, senders: bool, chunks: bool, passed: bool
    ) -> None:
        self._socket = bound
        self._intake = intake
        self._room = bytearray(max_bytes)
        self._view = memoryview(self._room)
        self._senders = senders
        self._chunks = Chunks() if chunks else None
        self._passed = passed
        self._reading = False
        self._drops = _kernel_drops(bound)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read while inside."""
        self.resume()
        try:
            yield
        finally:
            self._pause()

    def resume(self) -> None:
        """Go on reading, if it was paused for want of room."""
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def lost(self) -> dict[str, int]:
        """What was lost since the last call, by reason."""
        lost = {}
        drops = _kernel_drops(self._socket)
        if new := (drops - self._drops) & 0xFFFF_FFFF:
            lost["kernel"] = new
        self._drops = drops
        if self._chunks is not None:
            self._chunks.expire(time.monotonic())
            if given_up := self._chunks.take_given_up():
                lost["gelf_incomplete"] = given_up
        return lost

    async def drain(self) -> None:
        """Let nothing more in, and read what is there."""
        self._pause()
        left = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        if not self._passed:
            with contextlib.suppress(OSError):
                self._refuse()
        while (read := self._read()) and (left > 0 or not self._passed):
            left -= read
            await asyncio.sleep(0)
            while self._intake.full:  # noqa: ASYNC110 - as everywhere, the intake is looked at between reads
                await asyncio.sleep(_WAIT_SECS)
        if self._chunks is not None:
            self._chunks.give_up_all()

    def _refuse(self) -> None:
        if self._socket.family == socket.AF_UNIX:
            self._socket.shutdown(socket.SHUT_RD)
        else:
            self._socket.connect(self._socket.getsockname())

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _readable(self) -> None:
        self._read()
        if self._intake.full:
            self._pause()

    def _read(self) -> int:
        """Read until there is nothing, or it is others' turn. Returns the bytes read and a little for each datagram, so
        that 0 means nothing was there."""
        room, view, size, count = self._room, self._view, 0, 0
        limit, flags = len(room), socket.MSG_TRUNC
        receive, receive_from = self._socket.recv_into, self._socket.recvfrom_into
        senders, chunked = self._senders, self._chunks is not None
        messages: list[bytes] = []
        begun = 0
        known: Facts = NOTHING
        sender: object = None
        while count < _PER_WAKE and size < _PER_WAKE_BYTES:
            try:
                if senders or chunked:
                    length, came_from = receive_from(room, 0, flags)
                else:
                    length, came_from = receive(room, 0, flags), None
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # An error of an earlier answer to somebody (ICMP): it says nothing of what is to be read.
                _log.debug("A datagram socket reported an error", reason=error)
                count += 1
                continue
            count += 1
            if senders and came_from != sender:
                if messages:
                    self._intake.add(Piece(messages, size - begun, known))
                    messages, begun = [], size
                sender, known = came_from, sender_facts(came_from)
            size += length
            if length > limit:
                self._intake.add(Piece([bytes(view)], 0, {**known, **CUT_BY_KERNEL}, noted={"truncated": 1}))
                continue
            datagram = bytes(view[:length])
            if chunked and datagram[:2] == CHUNK:
                self._chunk(came_from, datagram, known)
            else:
                messages.append(datagram)
        if messages or size > begun:
            self._intake.add(Piece(messages, size - begun, known))
        return size + count

    def _chunk(self, sender: object, datagram: bytes, known: Facts) -> None:
        if self._chunks is None:
            return
        try:
            message = self._chunks.add(sender, datagram, time.monotonic())
        except Broken as broken:
            self._intake.add(Piece([], 0, dropped={broken.reason: 1}))
            return
        if message is not None:
            self._intake.add(Piece([message], 0, known))


async def read_datagrams(
    bound: list[socket.socket],
    intake: Intake,
    emit: Emit,
    stop: Stop,
    *,
    max_bytes: int,
    senders: bool,
    chunks: bool,
    passed: bool,
) -> None:
    """Read these sockets until asked to stop, then what the kernel has, and return when all of it is in the queue."""
    readers = [
        Datagrams(each, intake, max_bytes=max_bytes, senders=senders, chunks=chunks, passed=passed) for each in bound
    ]

    def lost() -> dict[str, int]:
        total: Counter[str] = Counter()
        for reader in readers:
            total.update(reader.lost())
        return total

    def resume() -> None:
        for reader in readers:
            reader.resume()

    async with asyncio.TaskGroup() as tasks:
        intake.lost = lost
        tasks.create_task(intake.run(emit))
        with contextlib.ExitStack() as reading:
            for reader in readers:
                reading.enter_context(reader.reading())
            intake.resumed = resume
            await stop.wait()
            intake.resumed = _stay
            for reader in readers:
                await reader.drain()
        intake.close()


def _stay() -> None:
    """What is left to read is read by `Datagrams.drain`."""


def enlarge(bound: socket.socket, wanted_bytes: int) -> int:
    """Ask for a receive buffer of that size, beyond the system's limit where we may. Returns what it is now; the kernel
    counts its own bookkeeping within."""
    try:
        bound.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted_bytes)
    except PermissionError:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    # The kernel doubles what is asked for, to have room for its bookkeeping, and says the double.
    return bound.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def sender_facts(address: object) -> Facts:
    """What a sender's address says of its records."""
    match address:
        case (str() as host, int() as port, *_):
            return {"source.ip": msgspec.json.encode(host.partition("%")[0]), "source.port": b"%d" % port}
    return NOTHING


def _kernel_drops(bound: socket.socket) -> int:
    drops: int = _MEMINFO.unpack(bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
    return drops
