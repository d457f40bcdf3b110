"""Which file is this? Recognising one generation of a log file again, by where it lies on the disk and by what is in
it.

Neither is enough alone: inodes are reused at once by some file systems, device numbers change over a reboot, and
files may begin alike. So a generation is recognised by its inode *and* the hash of its head (the first bytes, growing
until ``WINDOW_BYTES``) *and* the hash of the bytes just before the position. Only bytes before the position count:
what has not been read cannot be told apart, and need not be.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Protocol

import msgspec

WINDOW_BYTES = 1024
"""How much of the head, and of the bytes before the position, is looked at."""
MIN_CONTENT_BYTES = 256
"""With less than this read, contents alone (under another inode) do not identify a file: two files may well begin
with the same banner."""


Read = Callable[[int, int], bytes]
"""Bytes of a file: how many at most, and from which offset; fewer only at the end."""


class Contents(Protocol):
    """The bytes of a file, whatever they are packed in."""

    def read(self, count: int, offset: int) -> bytes:
        """Up to ``count`` bytes at ``offset``, fewer only at the end."""
        ...


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """What the bytes before a position look like. Lengths in bytes; hashes are BLAKE2b, 16 bytes."""

    offset: int
    head_len: int
    head_hash: bytes
    tail_len: int
    tail_hash: bytes


class Windows(msgspec.Struct):
    """The bytes a fingerprint is made of: the first ones of the file, and the last ones before ``offset``."""

    offset: int = 0
    head: bytes = b""
    tail: bytes = b""

    def advance(self, data: bytes, begin: int, end: int) -> None:
        """Move the position to ``end``. ``data`` is what lies in the file at ``begin``, and covers the way from the
        old position to ``end``."""
        if len(self.head) < WINDOW_BYTES and len(self.head) == self.offset:
            start = self.offset - begin
            self.head += data[start : min(end - begin, start + WINDOW_BYTES - len(self.head))]
        recent = data[max(self.offset - begin, end - begin - WINDOW_BYTES) : end - begin]
        self.tail = recent if len(recent) == WINDOW_BYTES else (self.tail + recent)[-WINDOW_BYTES:]
        self.offset = end

    def fingerprint(self) -> Fingerprint:
        """The fingerprint at this position."""
        return Fingerprint(self.offset, len(self.head), digest(self.head), len(self.tail), digest(self.tail))

    def still_in(self, read: Read) -> bool:
        """Whether a file still has these bytes in these places. False after a truncation, even if it has grown
        since."""
        return read(len(self.head), 0) == self.head and read(len(self.tail), self.offset - len(self.tail)) == self.tail


def digest(data: bytes) -> bytes:
    """The hash used in fingerprints."""
    return blake2b(data, digest_size=16).digest()


def windows_at(contents: Contents, offset: int) -> Windows:
    """The windows for ``offset`` in a file."""
    tail_len = min(WINDOW_BYTES, offset)
    return Windows(offset, contents.read(min(WINDOW_BYTES, offset), 0), contents.read(tail_len, offset - tail_len))


def matching_windows(contents: Contents, fingerprint: Fingerprint) -> Windows | None:
    """The windows in a file if it is the one this fingerprint was taken of, else None."""
    head = contents.read(fingerprint.head_len, 0)
    tail = contents.read(fingerprint.tail_len, fingerprint.offset - fingerprint.tail_len)
    if len(head) + len(tail) != fingerprint.head_len + fingerprint.tail_len:
        return None
    if digest(head) != fingerprint.head_hash or digest(tail) != fingerprint.tail_hash:
        return None
    return Windows(fingerprint.offset, head, tail)
