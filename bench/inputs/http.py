"""Feeds of the input `http`: single records on kept connections, and batches."""

import asyncio
import gzip
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import uvloop

from bench.inputs.feed import Feed
from bench.records import blocks

CONNECTIONS = 32
BATCH_CONNECTIONS = 4
BATCH = 2_000

Encode = Callable[[Sequence[bytes]], tuple[bytes, str]]
"""A body of records, and its header fields."""


def lines(records: Sequence[bytes]) -> tuple[bytes, str]:
    """A record per line."""
    return b"".join(records), "Content-Type: application/x-ndjson\r\n"


def array(records: Sequence[bytes]) -> tuple[bytes, str]:
    """An array."""
    return b"[%b]" % b",".join(record[:-1] for record in records), "Content-Type: application/json\r\n"


def zipped(records: Sequence[bytes]) -> tuple[bytes, str]:
    """A record per line, gzip."""
    return gzip.compress(lines(records)[0], 1), "Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n"


@lru_cache(maxsize=1)
def requests(encode: Encode, path: str, size: int, count: int) -> list[bytes]:
    """Requests of ``size`` records each."""
    made = b"".join(blocks(count)).splitlines(keepends=True)
    return [post(path, *encode(made[at : at + size])) for at in range(0, count, size)]


def post(path: str, body: bytes, fields: str) -> bytes:
    """A request as bytes."""
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


def send(made: Callable[[int], list[bytes]], connections: int, address: str, count: int) -> int:
    """Send them all, each when the one before it on its connection was answered 200."""
    uvloop.run(_send(made(count), connections, address))
    return count


async def _send(posts: list[bytes], connections: int, address: str) -> None:
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    ended = [loop.create_future() for _ in range(connections)]
    for first, end in enumerate(ended):
        mine = posts[first::connections]
        await loop.create_connection(partial(_Client, mine, end), host, int(port))
    await asyncio.gather(*ended)


class _Client(asyncio.Protocol):
    """Sends one request after another."""

    def __init__(self, posts: list[bytes], end: "asyncio.Future[None]") -> None:
        self._posts = iter(posts)
        self._end = end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first."""
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._next()

    def data_received(self, data: bytes) -> None:
        """The next, if that was answered well."""
        if not data.startswith(b"HTTP/1.1 200"):
            self._end.set_exception(RuntimeError(data[:200].decode(errors="replace")))
            self._transport.close()
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Before the last answer: an error."""
        if not self._end.done():
            self._end.set_exception(exc or RuntimeError("closed too early"))

    def _next(self) -> None:
        request = next(self._posts, None)
        if request is not None:
            self._transport.write(request)
        elif not self._end.done():
            self._end.set_result(None)
            self._transport.close()


def _feed(name: str, count: int, encode: Encode, size: int, connections: int) -> Feed:
    made = partial(requests, encode, "/", size)
    config = {"type": "http", "listen": "127.0.0.1:0"}
    return Feed(name, count, config, partial(send, made, connections), prepare=made)


FEEDS = (
    _feed("http-single", 100_000, lines, 1, CONNECTIONS),
    _feed("http-lines", 1_000_000, lines, BATCH, BATCH_CONNECTIONS),
    _feed("http-array", 500_000, array, BATCH, BATCH_CONNECTIONS),
    _feed("http-gzip", 500_000, zipped, BATCH, BATCH_CONNECTIONS),
)
