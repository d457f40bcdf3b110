"""Feeds of the inputs `udp`, `tcp` and `unix`."""

import socket
import time
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any

from bench.inputs.feed import Feed
from bench.inputs.files import lines

UDP_RATE = 100_000
"""Datagrams a second, as the project promises to take them."""
_BURST = 100
_WRITE = 64 * 1024

Encode = Callable[[bytes, int], bytes]


def _json(line: bytes, _: int) -> bytes:
    return line[:-1]


def _line(line: bytes, _: int) -> bytes:
    return line


def _syslog(line: bytes, number: int) -> bytes:
    return b'<14>1 2026-11-23T12:00:00.%06dZ host scorer 4242 - [meta n="%d"] %b' % (number % 10**6, number, line[:-1])


def _counted(line: bytes, number: int) -> bytes:
    message = _syslog(line, number)
    return b"%d %b" % (len(message), message)


def _gelf(line: bytes, number: int) -> bytes:
    return zlib.compress(b'{"version":"1.1","host":"h","short_message":"served","level":6,"_n":%d}' % number, 1)


def _connected(address: str, kind: socket.SocketKind) -> socket.socket:
    if address.startswith("unix:"):
        made = socket.socket(socket.AF_UNIX, kind)
        made.connect(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        made = socket.socket(socket.AF_INET, kind)
        made.connect((host, int(port)))
    return made


@lru_cache(maxsize=1)
def _messages(encode: Encode, count: int) -> list[bytes]:
    return [encode(line, i) for i, line in enumerate(lines(count))]


def _datagrams(encode: Encode, rate: float) -> Callable[[str, int], int]:
    def send(address: str, count: int) -> int:
        messages = _messages(encode, count)
        with _connected(address, socket.SOCK_DGRAM) as sender:
            begun = time.perf_counter()
            for first in range(0, count, _BURST):
                while time.perf_counter() - begun < first / rate:
                    time.sleep(0)
                for message in messages[first : first + _BURST]:
                    sender.send(message)
        return count

    return send


def _stream(encode: Encode) -> Callable[[str, int], int]:
    def send(address: str, count: int) -> int:
        with _connected(address, socket.SOCK_STREAM) as sender:
            for part in _joined(_messages(encode, count)):
                sender.sendall(part)
        return count

    return send


def _joined(messages: Iterable[bytes]) -> Iterable[bytes]:
    parts: list[bytes] = []
    size = 0
    for message in messages:
        parts.append(message)
        size += len(message)
        if size >= _WRITE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def _udp(name: str, encode: Encode, rate: float = UDP_RATE, **config: Any) -> Feed:
    return Feed(
        name,
        200_000,
        {"type": "udp", "listen": "127.0.0.1:0", **config},
        _datagrams(encode, rate),
        prepare=partial(_messages, encode),
    )


def _connection(name: str, encode: Encode, **config: Any) -> Feed:
    return Feed(name, 200_000, {"on_full": "block", **config}, _stream(encode), prepare=partial(_messages, encode))


FEEDS: tuple[Feed, ...] = (
    _udp("udp", _json),
    _udp("udp-syslog", _syslog),
    _udp("udp-gelf", _gelf),
    _udp("udp-flood", _json, rate=float("inf")),
    _connection("tcp", _line, type="tcp", listen="127.0.0.1:0"),
    _connection("tcp-syslog", _counted, type="tcp", listen="127.0.0.1:0"),
    _connection("unix", _line, type="unix", listen="unix:{folder}/stream.sock"),
    Feed(
        "unix-datagram",
        200_000,
        {"type": "unix", "kind": "datagram", "listen": "unix:{folder}/datagram.sock"},
        _datagrams(_json, float("inf")),
        prepare=partial(_messages, _json),
    ),
)
