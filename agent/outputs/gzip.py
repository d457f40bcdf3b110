"""What HTTP bodies and objects are compressed with.

Raw deflate that ends with a sync flush ends on a byte boundary and holds no final block: any number of such pieces
between a gzip header and an empty final block is one gzip member (RFC 1952). Its checksum is computed from theirs,
without looking at a byte. The bodies of the queue's frames are such pieces.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from isal import isal_zlib

from agent.queue.frame import Frame, deflate

_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_FINAL_BLOCK: Final = b"\x03\x00"
_TRAILER: Final = struct.Struct("<II")
_GZIP_WINDOW: Final = 31


class Piece(NamedTuple):
    """Raw deflate ended by a sync flush; length and CRC-32 of what it inflates to."""

    deflated: bytes
    length: int
    crc: int


def piece_of(data: bytes) -> Piece:
    """This as a piece. Releases the interpreter lock while it works."""
    deflated, crc = deflate(data)
    return Piece(deflated, len(data), crc)


def piece_of_frame(frame: Frame, body: bytes) -> Piece:
    """A frame as it lies, whose form has a CRC-32 for its check."""
    return Piece(body, frame.raw_len, frame.raw_check)


def gzipped(data: bytes) -> bytes:
    """The gzip member of this (level 1 of ``isal``). Releases the interpreter lock while it works."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _GZIP_WINDOW)
    compressed: bytes = compressor.compress(data) + compressor.flush()
    return compressed


def gzip_of(pieces: Iterable[Piece]) -> list[bytes]:
    """The gzip member of these pieces, as buffers to be sent one behind the other: nothing is copied."""
    crc = length = 0
    buffers = [_HEADER]
    for piece in pieces:
        buffers.append(piece.deflated)
        crc = isal_zlib.crc32_combine(crc, piece.crc, piece.length)
        length += piece.length
    return [*buffers, _FINAL_BLOCK + _TRAILER.pack(crc, length & 0xFFFFFFFF)]
