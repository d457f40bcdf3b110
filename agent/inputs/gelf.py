"""GELF, Graylog's format: JSON objects, over UDP in chunks and compressed.

A datagram may be a chunk: ``1e 0f``, eight bytes of message id, one of its number, one of how many there are (at most
128), and a part of the message. All chunks of a message come within five seconds or it is given up. A message is
compressed (zlib or gzip, told by its first bytes) or plain. Source: Graylog's documentation, "GELF via UDP".

Memory is bounded for each sender and in all: the oldest unfinished message goes when there is no room, and is counted.
"""

import re
import zlib
from collections import OrderedDict
from collections.abc import Container, Hashable
from typing import Final

import msgspec

from agent.processors.normalise.tolerant import decode
from agent.values import quote

CHUNK: Final = b"\x1e\x0f"
CHUNK_SECS: Final = 5.0
MAX_CHUNKS: Final = 128
MAX_OPEN: Final = 1024
"""Unfinished messages in all."""
MAX_OPEN_BYTES: Final = 32 * 1024**2
MAX_OPEN_PER_SENDER: Final = 64
MAX_BYTES_PER_SENDER: Final = 9 * 1024**2
"""A little more than the largest message there can be."""
_HEADER_BYTES: Final = 12
_PER_CHUNK_BYTES: Final = 100
"""What keeping a chunk costs beside its bytes."""

_SYSLOG_LEVEL: Final = re.compile(rb"[0-7]").fullmatch
_RENAMED: Final = {
    "short_message": "message",
    "timestamp": "timestamp",
    "file": "log.origin.file.name",
    "line": "log.origin.file.line",
    "_file": "log.origin.file.name",
    "_line": "log.origin.file.line",
    "_function": "log.origin.function",
    "_pid": "process.pid",
    "_process_name": "process.name",
    "_thread_name": "process.thread.name",
}


class Broken(ValueError):
    """A message that cannot be read. ``reason`` is what it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Open:
    """A message of which some chunks are here."""

    __slots__ = ("begun", "chunks", "count", "size")

    def __init__(self, count: int, begun: float) -> None:
        self.count = count
        self.begun = begun
        self.chunks: dict[int, bytes] = {}
        self.size = 0


class Chunks:
    """Puts messages together. ``given_up`` counts those that never became whole, until ``take_given_up``."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Hashable, bytes], _Open] = OrderedDict()
        self._of_sender: dict[Hashable, tuple[int, int]] = {}
        self._bytes = 0
        self._given_up = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sender: Hashable, chunk: bytes, now: float) -> bytes | None:
        """The whole message if this was the last chunk missing. ``now`` only grows. Raises ``Broken``."""
        if len(chunk) < _HEADER_BYTES or not 0 < chunk[11] <= MAX_CHUNKS or chunk[10] >= chunk[11]:
            raise Broken("gelf_broken")
        key, number, count = (sender, chunk[2:10]), chunk[10], chunk[11]
        self.expire(now)
        message = self._open.get(key)
        if message is None:
            message = self._open[key] = _Open(count, now)
            self._account(sender, 1, 0)
        elif message.count != count:
            raise Broken("gelf_broken")
        if number in message.chunks:
            return None
        size = len(chunk) + _PER_CHUNK_BYTES
        message.chunks[number] = chunk[_HEADER_BYTES:]
        message.size += size
        self._account(sender, 0, size)
        if len(message.chunks) == count:
            self._close(key)
            return b"".join(message.chunks[i] for i in range(count))
        self._make_room(sender)
        return None

    def expire(self, now: float) -> None:
        """Give up what has waited too long."""
        while self._open:
            key, message = next(iter(self._open.items()))
            if now - message.begun < CHUNK_SECS:
                return
            self._give_up(key)

    def give_up_all(self) -> None:
        """Give up everything: nothing more will come."""
        while self._open:
            self._give_up(next(iter(self._open)))

    def take_given_up(self) -> int:
        """How many messages were given up since the last call."""
        count, self._given_up = self._given_up, 0
        return count

    def _make_room(self, sender: Hashable) -> None:
        while True:
            count, size = self._of_sender.get(sender, (0, 0))
            if count <= MAX_OPEN_PER_SENDER and size <= MAX_BYTES_PER_SENDER:
                break
            self._give_up(next(key for key in self._open if key[0] == sender))
        while len(self._open) > MAX_OPEN or self._bytes > MAX_OPEN_BYTES:
            self._give_up(next(iter(self._open)))

    def _give_up(self, key: tuple[Hashable, bytes]) -> None:
        self._close(key)
        self._given_up += 1

    def _close(self, key: tuple[Hashable, bytes]) -> None:
        self._account(key[0], -1, -self._open.pop(key).size)

    def _account(self, sender: Hashable, messages: int, size: int) -> None:
        self._bytes += size
        count, held = self._of_sender.get(sender, (0, 0))
        if count + messages:
            self._of_sender[sender] = (count + messages, held + size)
        else:
            self._of_sender.pop(sender, None)


def is_compressed(data: bytes) -> bool:
    """Whether a message begins as gzip or zlib does (RFC 1952; RFC 1950, section 2.2: the first two bytes are a
    multiple of 31)."""
    if data[:2] == b"\x1f\x8b":
        return True
    return len(data) > 2 and data[0] == 0x78 and int.from_bytes(data[:2]) % 31 == 0 and not data.isascii()


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress a message, at most to ``limit`` bytes. Raises ``Broken``."""
    stream = zlib.decompressobj(wbits=47)
    try:
        text = stream.decompress(data, limit + 1)
    except zlib.error:
        raise Broken("gelf_broken") from None
    if len(text) > limit:
        raise Broken("too_large")
    if not stream.eof:
        raise Broken("gelf_broken")
    return text


def read_gelf(text: bytes) -> bytes | None:
    """The message as a line of JSON with the keys this project reads; None if it is no JSON object.

    ``level`` is a syslog severity. Fields of the sender's own lose their underscore unless the name is taken. A
    ``full_message`` that holds a traceback is one. The protocol's ``version`` is left out.
    """
    try:
        members = decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if "short_message" not in members:
        return text if b"\n" not in text else msgspec.json.format(text, indent=-1)
    renamed: dict[str, bytes] = {}
    own = []
    for key, raw in members.items():
        value = bytes(raw)
        if key == "version" and value in (b'"1.0"', b'"1.1"'):
            continue
        if key == "level" and _SYSLOG_LEVEL(value):
            renamed[_free(renamed, "severity", key)] = value
        elif key == "full_message" and b"Traceback (most recent call last)" in value:
            renamed[_free(renamed, "error.stack_trace", key)] = value
        elif key.startswith("_") and key not in _RENAMED:
            own.append((key, value))
        else:
            renamed[_free(renamed, _RENAMED.get(key, key), key)] = value
    for key, value in own:
        bare = key[1:]
        renamed[_free(renamed, bare if bare and bare not in members else key, key)] = value
    line = b"{%b}" % b",".join(b"%b:%b" % (quote(key), value) for key, value in renamed.items())
    return msgspec.json.format(line, indent=-1) if b"\n" in line or b"\r" in line else line


def _free(taken: Container[str], wanted: str, written: str) -> str:
    """The name wanted, or the one written, with underscores before it until nobody has it."""
    if wanted not in taken:
        return wanted
    while written in taken:
        written = "_" + written
    return written
