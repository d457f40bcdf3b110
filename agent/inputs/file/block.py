"""Reading one block of a file: bytes, the proof that they are still the same file's, lines, and the position behind
each batch of them.

Runs on the input's threads, so it neither looks at nor changes anything but its arguments; and on the event loop with a
``Read`` that never waits for a disk.
"""

import errno
import os
import time

import msgspec

from agent.inputs.file.encoding import Encoding
from agent.inputs.file.generation import OpenFile
from agent.inputs.file.identity import WINDOW_BYTES, Fingerprint, Read, Windows
from agent.inputs.lines import At, Cut, room_for_line

LEADING_NULS = "leading_nuls"
"""Counts files that begin with a hole: a writer not in append mode leaves one when its file is truncated."""
SKIP_BYTES = 16 * 1024**2
"""How much of an over-long line is skipped in one go."""


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
    encoding: Encoding
    over: bool = False
    rested_size: int | None = None


class Step(msgspec.Struct):
    """Lines for one batch, the fingerprint at their end, and a mark to count them under."""

    cut: Cut
    fingerprint: Fingerprint
    noted: str | None = None


class Block(msgspec.Struct):
    """What was read: steps in order, the position behind them, the file's size and time of change, and whether there
    is more to be read.

    ``replaced``: the file no longer has the contents that were read before; the steps are what could still be had of
    them. ``left`` is what is unread of a compressed file, in compressed bytes.
    """

    steps: list[Step]
    windows: Windows
    at: At
    size: int
    mtime_ns: int
    read_at_ns: int
    more: bool
    replaced: bool
    left: int


def read_block(opened: OpenFile, request: Request, read: Read | None = None) -> Block:
    """Read a block, with ``read`` in place of ``opened.read``. Raises ``OSError`` if the file cannot be read.

    While this runs it keeps the file open; callers hold no reference of their own beside the generation's, so that
    letting go of that one closes the file.
    """
    read = read or opened.read
    block = _read_once(opened, request, read)
    begin = request.windows.offset
    while block.more and not block.replaced and _only_skipped(block):
        if block.windows.offset - begin >= SKIP_BYTES:
            break
        request = msgspec.structs.replace(request, windows=block.windows, at=block.at)
        skipped, block = block, _read_once(opened, request, read)
        if not block.steps:
            block.steps = skipped.steps
        if skipped.at is At.REST:
            block.steps[0].cut.begin = begin
        block.steps[0].noted = block.steps[0].noted or skipped.steps[0].noted
    return block


def _only_skipped(block: Block) -> bool:
    return len(block.steps) == 1 and not block.steps[0].cut.lines


def _read_once(opened: OpenFile, request: Request, read: Read) -> Block:
    begin, before = request.windows.offset, request.windows
    data = read(request.want, begin)
    encoding = request.encoding.of_file(before.head or data[:2])
    room = room_for_line(request.max_line) * encoding.unit
    if len(data) == request.want < room and request.at is not At.REST and not encoding.behind_newline(data, begin):
        data += read(room - len(data), begin + len(data))
    read_at_ns = time.time_ns()
    found = os.fstat(opened.fd)
    size = opened.left(begin + len(data)) + begin + len(data) if opened.packed else found.st_size
    # Looked at after the read: had the file been emptied before it, these bytes would be of something else.
    replaced = not opened.packed and (size < begin or not before.still_in(read))
    if replaced and read(len(data), begin) == data:
        data = b""  # the new contents, which are read from their beginning as a generation of their own
    at_end = size <= begin + len(data)
    ended = replaced or (at_end and (request.over or opened.packed or request.rested_size == size))
    windows = Windows(begin, before.head, before.tail)
    at, steps, text = request.at, [], begin
    if at is At.LINE and not before.tail.strip(b"\0"):
        hole = encoding.hole(data)
        text += hole + encoding.mark(data, hole)
        if hole:
            _pass_hole(opened, windows, data, hole)
            text = max(text, windows.offset)
            noted = None if begin else LEADING_NULS
            steps.append(Step(Cut([], [], windows.offset, windows.offset), windows.fingerprint(), noted))
            at_end = size <= max(text, begin + len(data))
    for piece in encoding.cut(data[text - begin :] if text > begin else data, text, at, request.max_line, ended=ended):
        windows.advance(data, begin, piece.end)
        at = piece.at
        steps.append(Step(piece, windows.fingerprint()))
    left = opened.left(windows.offset) if opened.packed else 0
    return Block(steps, windows, at, found.st_size, found.st_mtime_ns, read_at_ns, not at_end, replaced, left)


def _pass_hole(opened: OpenFile, windows: Windows, data: bytes, length: int) -> None:
    """Move over the NULs that ``data`` begins with, and if there is nothing else in it, over as much more of the hole
    as the file system knows of."""
    end = windows.offset + length
    windows.advance(data, windows.offset, end)
    if length == len(data):
        windows.offset = opened.data_from(end)
        nuls = bytes(min(WINDOW_BYTES, windows.offset))
        windows.head, windows.tail = nuls, nuls
