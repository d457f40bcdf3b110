"""A segment file: a header, then frames.

The name is ``<base>-<again>-<mark>.seg`` in hexadecimal digits: the sequence number the first frame has, how often a
segment had been begun at that number before (each attempt has its own: repeats sort in the order they were made), and
the random sync mark. Base and mark are in the name as well as in the header, so that a damaged header does not hide the
frames behind it, nor a damaged name the file. The header is::

    offset  size  field
         0     8  magic     b"modeltl\\n"
         8     2  version   2; 1, which is read too, where every body is of bulks
        10     2  zero
        12     4  length    bytes of the msgpack behind this head
        16     4  crc       CRC-32 of bytes 8 to 16 and of the msgpack
        20   ...  Header    msgpack

The first 20 bytes mean the same in every version: with the checksum whole, an unknown version is a newer modeltail's
segment and not damage.

The header holds a snapshot of everything that was durable before it (positions, counts, cursors), so that losing all
older segments loses no position. What a segment holds at or behind the ``base`` or ``total`` of the one after it never
happened or is repeated there: readers pass over it.

A sealed segment never changes, but that a start may cut off an end that never happened. A new process never appends
to an old segment.
"""

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from isal import isal_zlib

from agent.queue import frame as frames
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Frame
from agent.record import Counts, Origin

MAGIC: Final = b"modeltl\n"
VERSION: Final = 2
_READ: Final = (1, VERSION)
SUFFIX: Final = ".seg"
_HEAD: Final = struct.Struct("<8sHHII")
_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{4,8})-([0-9a-f]{16})\.seg", re.ASCII)
_SEARCH_BYTES: Final = 1024 * 1024


class Header(msgspec.Struct, array_like=True):
    """What was true, and durable, when the segment began: everything the frames before ``base`` said. ``total`` is the
    number of records appended to the queue before its first frame. ``made_at_ms`` is the wall clock's, in milliseconds
    since 1970; 0 when it is not known. ``cursors`` are the encoded cursors of all outputs as they were
    last written: what an output goes back to when its own file is lost."""

    run: str
    mark: bytes
    base: int
    total: int
    origins: list[Origin]
    counts: dict[str, Counts]
    made_at_ms: int = 0
    cursors: dict[str, bytes] = {}


class Name(msgspec.Struct, frozen=True, order=True):
    """A segment's file name, taken apart. Sorts by age."""

    base: int
    again: int
    mark: bytes

    @property
    def text(self) -> str:
        """The file name."""
        return f"{self.base:016x}-{self.again:04x}-{self.mark.hex()}{SUFFIX}"

    @classmethod
    def parse(cls, text: str) -> "Name | None":
        """The name taken apart, or None when it is not a segment's."""
        match = _NAME.fullmatch(text)
        return cls(int(match[1], 16), int(match[2], 16), bytes.fromhex(match[3])) if match else None


_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def new_mark() -> bytes:
    """A sync mark that no other segment has and no document is likely to hold."""
    return os.urandom(frames.MARK_LEN)


def encode_header(header: Header) -> bytes:
    """The header as it stands at the start of the file."""
    payload = _encode_header(header)
    fixed = struct.pack("<HHI", VERSION, 0, len(payload))
    crc = isal_zlib.crc32(payload, isal_zlib.crc32(fixed))
    return MAGIC + fixed + crc.to_bytes(4, "little") + payload


class UnknownVersion(Damaged):
    """The segment was written by a newer modeltail: its header is whole, and of a version not known here."""


def read_header(disk: Disk, handle: int) -> tuple[Header, int]:
    """The header and the offset of the first frame. Raises ``Damaged`` (``UnknownVersion`` when only that is the
    trouble)."""
    head = disk.read(handle, _HEAD.size, 0)
    if len(head) < _HEAD.size or head[:8] != MAGIC:
        raise Damaged("no segment header")
    _, version, _, length, crc = _HEAD.unpack(head)
    if length > frames.MAX_META_BYTES:
        raise Damaged("impossible header length")
    payload = disk.read(handle, length, _HEAD.size)
    if len(payload) < length or isal_zlib.crc32(payload, isal_zlib.crc32(head[8:16])) != crc:
        raise Damaged("header checksum does not hold")
    if version not in _READ:
        raise UnknownVersion(f"segment format version {version} is not known here")
    try:
        return _decode_header(payload), _HEAD.size + length
    except msgspec.DecodeError as error:
        raise Damaged("header is not readable") from error


def read_frame(disk: Disk, handle: int, mark: bytes, offset: int, limit: int) -> tuple[Frame, bytes]:
    """The frame at ``offset`` and its body, reading no further than ``limit``. Raises ``Damaged``."""
    head = disk.read(handle, frames.HEAD.size, offset)
    size = frames.frame_size(head, mark)
    if offset + size > limit:
        raise Damaged("cut short")
    return frames.decode(head + disk.read(handle, size - len(head), offset + len(head)), mark, offset)


def find_frame(disk: Disk, handle: int, mark: bytes, offset: int, limit: int) -> int | None:
    """The offset at or behind ``offset`` where the next readable frame begins, or None before ``limit``."""
    while offset + frames.HEAD.size <= limit:
        block = disk.read(handle, min(_SEARCH_BYTES, limit - offset), offset)
        found = block.find(mark)
        if found < 0:
            if len(block) < frames.MARK_LEN or offset + len(block) >= limit:
                return None
            offset += len(block) - frames.MARK_LEN + 1
            continue
        offset += found
        try:
            read_frame(disk, handle, mark, offset, limit)
        except Damaged:
            offset += 1
        else:
            return offset
    return None


def scan(disk: Disk, handle: int, mark: bytes, offset: int, limit: int) -> Iterator[tuple[Frame, bytes]]:
    """Every readable frame from ``offset`` on with its body, passing over damage."""
    at: int | None = offset
    while at is not None and at < limit:
        try:
            frame, body = read_frame(disk, handle, mark, at, limit)
        except Damaged:
            at = find_frame(disk, handle, mark, at + 1, limit)
            continue
        yield frame, body
        at = frame.end


def path_of(folder: Path, name: Name) -> Path:
    """Where the segment lies."""
    return folder / name.text
