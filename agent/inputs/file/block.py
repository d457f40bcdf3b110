"""Reading one block of a file: bytes, the proof that they are still the same file's, lines, and the position behind
each batch of them.

Runs on the input's threads, so it neither looks at nor changes anything but its arguments; and on the event loop with a
``Read`` that never waits for a disk.
"""

import errno
import os
import time
from collections.abc import Callable

import msgspec

from agent.inputs.file.generation import OpenFile
from agent.inputs.file.identity import Fingerprint, Windows
from agent.inputs.lines import At, Cut, cut, room_for_line

SKIP_BYTES = 16 * 1024**2
"""How much of an over-long line is skipped in one go."""


Read = Callable[[int, int, int], bytes]
"""``os.pread``, or something like it: file descriptor, number of bytes, offset."""


class CachedRead:
    """Reads what the system has in memory, and nothing else: raises ``BlockingIOError`` where a disk would have to be
    waited for, or the file system cannot say. Has one buffer; for one thread."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._nowait = getattr(os, "RWF_NOWAIT", None)

    def __call__(self, fd: int, length: int, offset: int) -> bytes:
        """The bytes; fewer only at the end of the file."""
        if self._nowait is None:
            raise BlockingIOError
        if len(self._buffer) < length:
            self._buffer = bytearray(length)
        view = memoryview(self._buffer)[:length]
        try:
            found = os.preadv(fd, [view], offset, self._nowait)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):
                raise BlockingIOError from error
            raise
        if found < length and offset + found < os.fstat(fd).st_size:
            raise BlockingIOError
        return bytes(view[:found])


class Request(msgspec.Struct):
    """What to read. The last line, if it has no line end, is taken when the file is ``over`` (nobody will add to it)
    or has rested at ``rested_size``."""

    windows: Windows
    at: At
    want: int
    max_line: int
    over: bool = False
    rested_size: int | None = None


class Step(msgspec.Struct):
    """Lines for one batch and the fingerprint at their end."""

    cut: Cut
    fingerprint: Fingerprint


class Block(msgspec.Struct):
    """What was read: steps in order, the position behind them, the file's size and time of change, and whether there
    is more to be read.

    ``replaced``: the file no longer has the contents that were read before; the steps are what could still be had of
    them.
    """

    steps: list[Step]
    windows: Windows
    at: At
    size: int
    mtime_ns: int
    read_at_ns: int
    more: bool
    replaced: bool


def read_block(opened: OpenFile, request: Request, read: Read = os.pread) -> Block:
    """Read a block. Raises ``OSError`` if the file cannot be read.

    While this runs it keeps the file open; callers hold no reference of their own beside the generation's, so that
    letting go of that one closes the file.
    """
    block = _read_once(opened, request, read)
    begin = request.windows.offset
    while block.at is At.REST and block.more and not block.replaced and _only_skipped(block):
        if block.windows.offset - begin >= SKIP_BYTES:
            break
        request = msgspec.structs.replace(request, windows=block.windows, at=block.at)
        skipped, block = block, _read_once(opened, request, read)
        if not block.steps:
            block.steps = skipped.steps
        block.steps[0].cut.begin = begin
    return block


def _only_skipped(block: Block) -> bool:
    return len(block.steps) == 1 and not block.steps[0].cut.lines


def _read_once(opened: OpenFile, request: Request, read: Read) -> Block:
    fd, begin = opened.fd, request.windows.offset
    data = read(fd, request.want, begin)
    if len(data) == request.want < room_for_line(request.max_line) and b"\n" not in data and request.at is not At.REST:
        data += read(fd, room_for_line(request.max_line) - len(data), begin + len(data))
    read_at_ns = time.time_ns()
    found = os.fstat(fd)
    # Looked at after the read: had the file been emptied before it, these bytes would be of something else.
    replaced = found.st_size < begin or not request.windows.still_in(fd, read)
    if replaced and read(fd, len(data), begin) == data:
        data = b""  # the new contents, which are read from their beginning as a generation of their own
    at_end = found.st_size <= begin + len(data)
    ended = replaced or (at_end and (request.over or request.rested_size == found.st_size))
    windows = Windows(begin, request.windows.head, request.windows.tail)
    at, steps = request.at, []
    for piece in cut(data, begin, request.at, request.max_line, ended=ended):
        windows.advance(data, begin, piece.end)
        at = piece.at
        steps.append(Step(piece, windows.fingerprint()))
    return Block(steps, windows, at, found.st_size, found.st_mtime_ns, read_at_ns, not at_end, replaced)
