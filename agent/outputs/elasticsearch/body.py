"""Request bodies: frames of the queue joined into one gzip member as they lie, single documents compressed afresh.

A frame's body is raw deflate ended by a sync flush, so it ends on a byte boundary and holds no final block: any number
of them between a gzip header and an empty final block is one valid gzip member (RFC 1952). Its checksum is computed
from theirs, without looking at a byte.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from isal import isal_zlib

from agent.queue.frame import Frame

_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_FINAL_BLOCK: Final = b"\x03\x00"
_TRAILER: Final = struct.Struct("<II")


def of_frames(frames: Sequence[Frame], bodies: Sequence[bytes]) -> list[bytes]:
    """The gzip member of these frames, in pieces: nothing is copied."""
    crc = length = 0
    for frame in frames:
        crc = isal_zlib.crc32_combine(crc, frame.raw_crc, frame.raw_len)
        length += frame.raw_len
    return [_HEADER, *bodies, _FINAL_BLOCK + _TRAILER.pack(crc, length & 0xFFFFFFFF)]


def bulk_lines(ids: Iterable[str], documents: Iterable[bytes]) -> bytes:
    """Bulk-ready NDJSON for single documents, none of which holds a newline. The ids are record ids: they need no
    escaping.
    """
    pieces: list[bytes] = []
    for record, document in zip(ids, documents, strict=True):
        pieces += (b'{"create":{"_id":"', record.encode(), b'"}}\n', document, b"\n")
    return b"".join(pieces)


def of_documents(ids: Iterable[str], documents: Iterable[bytes]) -> list[bytes]:
    """The gzip member of these single documents, in pieces. Compresses: for the rare paths only."""
    lines = bulk_lines(ids, documents)
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    deflated = compressor.compress(lines) + compressor.flush()
    return [_HEADER, deflated, _TRAILER.pack(isal_zlib.crc32(lines), len(lines) & 0xFFFFFFFF)]
