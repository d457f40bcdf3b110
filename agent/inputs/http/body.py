"""The bytes of a request: read within limits of size and time, and expanded within limits too."""

import asyncio
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, cast

from aiohttp import web
from isal import isal_zlib

from agent.inputs.http.answers import Refusal

REQUEST_BYTES: Final = 16 * 1024
"""What a request counts for besides its body: the objects it lives in."""
ENCODINGS: Final = ("identity", "gzip", "x-gzip", "deflate", "zstd")
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""RFC 9659: what a decoder of HTTP bodies must be able to hold, and need not exceed."""
MAX_MEMBERS: Final = 10_000
"""Parts that a compressed body may be put together of: starting one costs more than what it may hold."""
_NOT_DEFLATED: Final = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance
_PIECE: Final = 16 * 1024
_ZSTD_PIECE: Final = 256
"""zstd expands what it is given whole, and four bytes may stand for 128 KiB."""


class Room:
    """The bytes all requests of an input may hold at once."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    def take(self, size: int) -> None:
        """Raises ``Refusal`` when there is not that much left."""
        if size > self._left:
            raise Refusal(429, "too many requests are being taken at once; send this one again later")
        self._left -= size

    def give_back(self, size: int) -> None:
        """What was taken."""
        self._left += size


class Held:
    """What one request holds of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def grow_to(self, size: int) -> None:
        """Hold at least so much. Raises ``Refusal`` when there is no room."""
        if size > self._size:
            self._room.take(size - self._size)
            self._size = size

    @contextmanager
    def until_done(self) -> Iterator["Held"]:
        """Hold what a request holds at least, and give everything back at the end."""
        try:
            yield self
        finally:
            self._room.give_back(self._size)


async def read_body(request: web.BaseRequest, limit: int, timeout_secs: float, held: Held) -> bytes:
    """The body as it was sent. Raises ``Refusal``: too large, too slow, no room, or broken off."""
    announced = request.content_length or 0
    if announced > limit:
        raise too_large(limit)
    held.grow_to(REQUEST_BYTES + announced)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.content.is_eof():
            return await _read(request, limit, held)
        async with asyncio.timeout(timeout_secs):
            return await _read(request, limit, held)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {timeout_secs:g}s", {"Connection": "close"}) from None
    except (web.PayloadAccessError, web.RequestPayloadError) as error:
        raise Refusal(400, f"the body is broken: {error}", {"Connection": "close"}) from None


async def _read(request: web.BaseRequest, limit: int, held: Held) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await request.content.readany():
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        held.grow_to(REQUEST_BYTES + size)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def too_large(limit: int) -> Refusal:
    """For a body over the limit, as sent or as expanded."""
    return Refusal(413, f"the body is larger than {limit} bytes (max_body); send it in parts")


def encoding_of(header: str) -> str:
    """The one encoding of a body, by its ``Content-Encoding``. Raises ``Refusal`` for what cannot be read."""
    encoding = header.strip().lower() or "identity"
    if encoding not in ENCODINGS:
        raise Refusal(415, "this Content-Encoding is not understood; use gzip, deflate, zstd or none")
    if encoding == "zstd":
        try:
            import zstandard  # noqa: F401 - only to see whether it is there
        except ImportError:
            raise Refusal(415, "zstd is not installed here (pip install 'modeltail[zstd]'); use gzip") from None
    return encoding


def expand(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its encoding. Memory and work are bounded by ``limit`` and the body's own size, whatever the
    body says of itself. Raises ``Refusal``: too large, or not of this encoding."""
    if encoding == "identity" or not body:
        return body
    if encoding == "zstd":
        return _expand_zstd(body, limit)
    wbits = zlib.MAX_WBITS + 16
    if encoding == "deflate":
        wbits = zlib.MAX_WBITS if _has_zlib_header(body) else -zlib.MAX_WBITS

    try:
        return _join_members(
            body,
            limit,
            lambda: isal_zlib.decompressobj(wbits),
            lambda member, piece, most: member.decompress(piece, most),
            _PIECE,
        )
    except _NOT_DEFLATED as error:
        raise _broken(encoding, error) from None


class _Member(Protocol):
    """A decompressor of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


M = TypeVar("M", bound=_Member)


def _join_members(
    body: bytes, limit: int, start: Callable[[], M], feed: Callable[[M, bytes, int], bytes], piece: int
) -> bytes:
    """Members one after another (RFC 1952, RFC 8878). Fed in pieces, so that what is left behind a member is not copied
    again and again."""
    expanded = bytearray()
    at = members = 0
    while at < len(body):
        members += 1
        if members > MAX_MEMBERS:
            raise Refusal(400, f"the body is compressed in more than {MAX_MEMBERS} parts")
        member = start()
        while not member.eof:
            if at >= len(body):
                raise Refusal(400, "the compressed body ends too early")
            fed = body[at : at + piece]
            expanded += feed(member, fed, limit + 1 - len(expanded))
            if len(expanded) > limit:
                raise too_large(limit)
            at += len(fed) - len(member.unused_data)
    return bytes(expanded)


def _has_zlib_header(body: bytes) -> bool:
    """RFC 9110 means the zlib format, but some send bare deflate data."""
    return body[0] & 0x0F == 8 and len(body) > 1 and (body[0] * 256 + body[1]) % 31 == 0


def _expand_zstd(body: bytes, limit: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        return _join_members(
            body,
            limit,
            lambda: decompressor.decompressobj(),
            lambda member, piece, _: member.decompress(piece),
            _ZSTD_PIECE,
        )
    except zstandard.ZstdError as error:
        raise _broken("zstd", error) from None


def _broken(encoding: str, error: Exception) -> Refusal:
    return Refusal(400, f"the body is not the {encoding} data its Content-Encoding says: {error}")
