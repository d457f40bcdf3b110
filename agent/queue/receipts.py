"""Receipts: which ids were given, so that months later one can ask whether the records arrived.

Before a segment is deleted, what the heads of its frames say (run, data stream, batches; never the records) is appended
to the newest of the files ``receipts-<number>`` beside the segments. They are bounded: at ``FILE_BYTES`` the next file
begins, and the newest ``FILES`` stay. A file is blocks, all numbers little-endian::

    offset  size  field
         0     8  mark      b"receipt1"
         8     4  crc       CRC-32 of everything of the block behind this field
        12     4  length    bytes of the payload
        16     4  raw_len   bytes of the payload once inflated
        20   ...  payload   raw deflate (RFC 1951) of the msgpack of a Receipt or a Dropped

A receipt is a few bytes per frame. Nothing of it is synced: what a power cut takes shows as a gap between the totals of
the receipts that are left, and so does whatever else cannot be read. A reader passes over damage to the next mark whose
checksum holds; a writer only ever appends. A segment whose deletion was cut short is receipted twice: readers tell by
the segment's name.

The frames' bodies are not read, so their checksums are not checked, unless a head does not follow from the one before
it.
"""

import re
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec
from isal import isal_zlib

from agent.log import Log
from agent.queue.cursor import Cursor
from agent.queue.disk import Disk
from agent.queue.frame import HEAD, Damaged, Part, frame_size
from agent.queue.segment import Name, find_frame, path_of, read_frame, read_header

FILE_BYTES: Final = 16 * 1024**2
FILES: Final = 2
MARK: Final = b"receipt1"
PIECE_FRAMES: Final = 4096
"""Frames of one block at most: what is held in memory does not grow with the segment."""

_HEAD: Final = struct.Struct("<8sIII")
_NAME: Final = re.compile(r"receipts-(\d{8,18})", re.ASCII)
_MAX_PAYLOAD: Final = 64 * 1024**2
_READ_BYTES: Final = 16 * 1024
_REMEMBERED: Final = 1024
"""Segments that failed to be deleted, at most, that are not receipted again at the next attempt."""
_SEARCH_BYTES: Final = 256 * 1024

_log = Log("queue")


class Given(msgspec.Struct, array_like=True, frozen=True):
    """The ids of one frame: those of ``parts`` under ``run``. ``total`` is the queue's before the frame."""

    seq: int
    total: int
    run: str
    stream: str
    parts: list[Part]

    @property
    def count(self) -> int:
        """Records of the frame."""
        return sum(part.count for part in self.parts)


class Receipt(msgspec.Struct, array_like=True, tag="given"):
    """Frames ``first`` to ``last`` of a segment that was deleted; a segment with many frames has several.

    ``begin_total`` and ``end_total`` are the queue's totals around them: what ``given`` does not add up to had no
    readable head. The segment was begun at ``made_at_ms`` (0: not known) and the next one at ``ended_at_ms``. The ids
    are owed to ``outputs``, each from the total on at which it joined.
    """

    segment: str
    first: int
    last: int
    begin_total: int
    end_total: int
    made_at_ms: int
    ended_at_ms: int
    outputs: dict[str, int]
    given: list[Given]


class Dropped(msgspec.Struct, array_like=True, tag="dropped"):
    """Frames that were dropped by policy before this output was through with them, as ranges of sequence numbers, both
    ends included. A request that was under way may have delivered some of them all the same."""

    output: str
    ranges: list[tuple[int, int]]


class OldSegment(msgspec.Struct, frozen=True):
    """What a receipt is made from. ``size`` is how far the file counts; ``last`` the last sequence number that counts
    in it."""

    name: Name
    size: int
    last: int
    begin_total: int
    end_total: int
    made_at_ms: int
    ended_at_ms: int


class _Ids(msgspec.Struct, array_like=True):
    """The start of a frame's meta block; the rest of it is passed over."""

    run: str
    stream: str
    parts: list[Part]


_NOT_DEFLATED = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt | Dropped).decode
_decode_ids = msgspec.msgpack.Decoder(_Ids).decode


def encode_block(entry: Receipt | Dropped) -> bytes:
    """The entry as it stands in the file."""
    raw = _encode(entry)
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    payload = compressor.compress(raw) + compressor.flush()
    lengths = struct.pack("<II", len(payload), len(raw))
    return MARK + isal_zlib.crc32(payload, isal_zlib.crc32(lengths)).to_bytes(4, "little") + lengths + payload


def decode_block(block: bytes) -> Receipt | Dropped:
    """The entry of a whole block. Raises ``Damaged``."""
    if len(block) < _HEAD.size or block[: len(MARK)] != MARK:
        raise Damaged("no mark")
    _, crc, length, raw_len = _HEAD.unpack_from(block)
    if len(block) != _HEAD.size + length or raw_len > _MAX_PAYLOAD:
        raise Damaged("impossible length")
    if isal_zlib.crc32(memoryview(block)[len(MARK) + 4 :]) != crc:
        raise Damaged("checksum does not hold")
    try:
        entry: Receipt | Dropped = _decode(isal_zlib.decompressobj(-15).decompress(block[_HEAD.size :], raw_len))
    except (_NOT_DEFLATED, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged("payload is not readable") from error
    return entry


def unfinished(cursor: Cursor, through: int) -> list[tuple[int, int]]:
    """The frames up to ``through`` that the output is not through with."""
    ranges = []
    first = cursor.low + 1
    for done in cursor.done:
        if done.first > through:
            break
        if first < done.first:
            ranges.append((first, done.first - 1))
        first = done.last + 1
    if first <= through:
        ranges.append((first, through))
    return ranges


# Reading heads.


def given_in(disk: Disk, folder: Path, segment: OldSegment) -> Iterator[Given]:
    """What the heads of a segment's frames say, in order, each sequence number once. Damage is passed over. Raises
    ``OSError``."""
    handle = disk.open(path_of(folder, segment.name))
    try:
        yield from _heads(disk, handle, segment)
    finally:
        disk.close(handle)


def _heads(disk: Disk, handle: int, segment: OldSegment) -> Iterator[Given]:
    seq, total = segment.name.base, segment.begin_total
    at: int | None = _first_frame(disk, handle, segment)
    unchecked: int | None = None  # where the frame before begins, if only its head was looked at
    window, start = b"", 0
    while at is not None and at < segment.size:
        if not start <= at <= start + len(window) - HEAD.size:
            window, start = disk.read(handle, _READ_BYTES, at), at
        try:
            end, given = _head(window, at - start, segment.name.mark)
            if given is None:  # its meta block reaches beyond the window
                window, start = disk.read(handle, end, at), at
                end, given = _head(window, 0, segment.name.mark)
            follows = given is not None and (given.seq, given.total) == (seq, total) and at + end <= segment.size
        except Damaged:
            follows = False
        if not follows or given is None:
            try:
                if unchecked is not None:  # perhaps it does not end here
                    at, again, unchecked = unchecked, at, None
                    read_frame(disk, handle, segment.name.mark, at, segment.size)
                    at = again
                frame, _ = read_frame(disk, handle, segment.name.mark, at, segment.size)
            except Damaged:
                at = find_frame(disk, handle, segment.name.mark, at + 1, segment.size)
                continue
            end, given = frame.size, Given(frame.seq, frame.total, frame.run, frame.stream, frame.parts)
        unchecked = at if follows else None
        at += end
        if seq <= given.seq <= segment.last:
            yield given
            seq, total = given.seq + 1, given.total + given.count


def _first_frame(disk: Disk, handle: int, segment: OldSegment) -> int | None:
    try:
        return read_header(disk, handle)[1]
    except Damaged:
        return find_frame(disk, handle, segment.name.mark, 0, segment.size)


def _head(window: bytes, at: int, mark: bytes) -> tuple[int, Given | None]:
    """Bytes of the frame at ``at``, and what its head says. Without the latter, so many bytes must be looked at. Raises
    ``Damaged`` when that cannot be a frame's head."""
    size = frame_size(window[at : at + HEAD.size], mark)
    _, _, meta_len, _, seq, total, count, *_ = HEAD.unpack_from(window, at)
    meta = window[at + HEAD.size : at + HEAD.size + meta_len]
    if len(meta) < meta_len:
        return HEAD.size + meta_len, None
    try:
        ids = _decode_ids(meta)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged("meta block is not readable") from error
    given = Given(seq, total, ids.run, ids.stream, ids.parts)
    if given.count != count:
        raise Damaged("parts do not add up")
    return size, given


def receipts_of(disk: Disk, folder: Path, segment: OldSegment, outputs: Mapping[str, int]) -> Iterator[Receipt]:
    """The receipts of a segment about to be deleted. Raises ``OSError``."""
    first, begin = segment.name.base, segment.begin_total
    given: list[Given] = []

    def piece(last: int, end: int) -> Receipt:
        return Receipt(
            segment.name.text, first, last, begin, end, segment.made_at_ms, segment.ended_at_ms, dict(outputs), given
        )

    for frame in given_in(disk, folder, segment):
        if len(given) == PIECE_FRAMES:
            yield piece(frame.seq - 1, frame.total)
            first, begin, given = frame.seq, frame.total, []
        given.append(frame)
    yield piece(segment.last, segment.end_total)


# Files.


class Receipts:
    """Writes the receipts of one queue. Blocking, on the queue's reading thread; fails for nothing: what cannot be
    written is said, and counted in ``unwritten`` (records since the start)."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self.unwritten = 0
        self._disk = disk
        self._folder = folder
        self._kept: deque[Name] = deque(maxlen=_REMEMBERED)

    def keep(self, segment: OldSegment, outputs: Mapping[str, int]) -> list[bytes]:
        """Write the receipts of a segment that is to be deleted. Returns what the disk did not take: it may once the
        segment is gone. Writes nothing for a segment it has written receipts for already: its deletion failed."""
        if segment.name in self._kept:
            return []
        self._kept.append(segment.name)
        try:
            blocks = [encode_block(receipt) for receipt in receipts_of(self._disk, self._folder, segment, outputs)]
        except OSError as error:
            self._lost(segment, error)
            return []
        try:
            self._append(blocks)
        except OSError:
            return blocks
        return []

    def keep_after_all(self, segment: OldSegment, blocks: Sequence[bytes]) -> None:
        """Write what ``keep`` could not, the segment being gone."""
        try:
            self._append(blocks)
        except OSError as error:
            self._lost(segment, error)

    def dropped(self, entries: Sequence[Dropped]) -> None:
        """Write which frames were dropped by policy."""
        try:
            self._append([encode_block(entry) for entry in entries if entry.ranges])
        except OSError as error:
            _log.warning(
                "What was dropped by policy could not be noted; a verification will name it as missing",
                path=str(self._folder),
                error=str(error),
            )

    def _lost(self, segment: OldSegment, error: OSError) -> None:
        records = segment.end_total - segment.begin_total
        self.unwritten += records
        _log.warning(
            "The receipt of a finished segment could not be written; its records cannot be verified any more",
            segment=segment.name.text,
            records=records,
            error=str(error),
        )

    def _append(self, blocks: Sequence[bytes]) -> None:
        """Append to the newest file. Raises ``OSError``; a torn block may then be left, which readers pass over."""
        if not blocks:
            return
        numbers = receipt_files(self._disk, self._folder)
        handle = self._open(numbers)
        try:
            self._disk.write(handle, blocks, self._disk.size(handle))
        finally:
            self._disk.close(handle)

    def _open(self, numbers: list[int]) -> int:
        """The newest file, or the next when that is full; then the oldest goes."""
        if numbers:
            handle = self._disk.open(_path(self._folder, numbers[-1]), write=True)
            if self._disk.size(handle) < FILE_BYTES:
                return handle
            self._disk.close(handle)
        handle = self._disk.create(_path(self._folder, numbers[-1] + 1 if numbers else 1))
        for number in numbers[: max(0, len(numbers) + 1 - FILES)]:
            with suppress(OSError):  # the next change of files tries again
                self._disk.unlink(_path(self._folder, number))
        return handle


def receipt_files(disk: Disk, folder: Path) -> list[int]:
    """The numbers of the files, oldest first."""
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, disk.names(folder)) if match)


def read_receipts(disk: Disk, folder: Path) -> Iterator[Receipt | Dropped]:
    """Every readable entry, oldest first. What cannot be read, or goes away meanwhile, is passed over. Raises
    ``OSError`` only when the folder itself cannot be listed."""
    for number in receipt_files(disk, folder):
        try:
            handle = disk.open(_path(folder, number))
        except OSError:
            continue
        try:
            yield from _entries(disk, handle)
        except OSError:
            continue
        finally:
            disk.close(handle)


def _entries(disk: Disk, handle: int) -> Iterator[Receipt | Dropped]:
    size = disk.size(handle)
    at: int | None = 0
    while at is not None and at + _HEAD.size <= size:
        head = disk.read(handle, _HEAD.size, at)
        length = _HEAD.unpack(head)[2] if len(head) == _HEAD.size else 0
        if head[: len(MARK)] != MARK or length > size - at - _HEAD.size:
            at = _next_mark(disk, handle, at + 1, size)
            continue
        try:
            entry = decode_block(head + disk.read(handle, length, at + len(head)))
        except Damaged:
            at = _next_mark(disk, handle, at + 1, size)
            continue
        yield entry
        at += _HEAD.size + length


def _next_mark(disk: Disk, handle: int, at: int, size: int) -> int | None:
    while at + _HEAD.size <= size:
        block = disk.read(handle, min(_SEARCH_BYTES, size - at), at)
        found = block.find(MARK)
        if found >= 0:
            return at + found
        if len(block) < len(MARK):
            return None
        at += len(block) - len(MARK) + 1
    return None


def _path(folder: Path, number: int) -> Path:
    return folder / f"receipts-{number:08d}"
