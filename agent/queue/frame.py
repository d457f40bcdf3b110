"""One entry of the queue, as bytes.

A frame is a fixed head, a meta block and a body. All numbers are little-endian::

    offset  size  field
         0     8  mark       the segment's random sync mark, so that a reader can find the next frame behind damage
         8     4  crc        CRC-32 of every byte of the frame behind this field: head, meta and body
        12     4  meta_len   bytes of the meta block
        16     4  body_len   bytes of the body
        20     8  seq        the frame's sequence number; grows by one from frame to frame, across restarts too
        28     8  total      records appended to this queue before this frame, over its whole life
        36     4  count      records in this frame
        40     4  raw_len    bytes of the body once inflated
        44     4  raw_check  the form's check of the body once inflated: CRC-32 or Adler-32
        48     2  flags      bit 0: MORE, the group goes on in the next frame; bits 1 and 2: the form
        50     2  zero
        52   ...  meta       msgpack of Meta
       ...   ...  body       raw deflate (RFC 1951) ended by a sync flush, so that bodies join into one gzip member, or
                              one becomes a zlib stream, without looking at a byte

What one append writes is a group: frames in a row in one segment, all but the last flagged MORE. Only the last frame of
a group carries origins and counts; a group without its end never happened, and recovery drops it. So it does with what
lies behind a frame that is missing and that nothing says was ever durable: after a power cut, writes since the last
sync may be there without those before them.

What the body holds is said by the form (``agent.form``). ``total`` is what makes damage countable: the difference
between two readable frames says exactly how many records lay between them.
"""

import struct
from typing import Final, cast

import msgspec
from isal import isal_zlib

from agent.form import Form, check_of, documents
from agent.record import Counts, Origin, record_id

HEAD: Final = struct.Struct("<8sIIIQQIIIHH")
MARK_LEN: Final = 8
MORE: Final = 1
_FORM_SHIFT: Final = 1
_FORM_MASK: Final = 3
_FORMS: Final = {int(form): form for form in Form}
ALONE_BYTES: Final = 64 * 1024
"""Documents of this many bytes are worth a frame of their own: with others they would hardly become smaller."""
MAX_META_BYTES: Final = 64 * 1024**2
MAX_BODY_BYTES: Final = 1024**3


class Part(msgspec.Struct, frozen=True, array_like=True):
    """``count`` records whose ids are run, ``batch``, and the indexes from ``first`` on."""

    batch: int
    first: int
    count: int


class Meta(msgspec.Struct, array_like=True):
    """What a frame says beside its records: which data stream, whose ids, how far inputs are read, what was counted so
    far.

    ``origins`` are the positions this group moves; ``counts`` the cumulative counts of the inputs this group touches;
    ``durable`` is the last frame that was durable when this group was written. All are empty but in the last frame of a
    group. ``hour`` is the one the times of all records lie in, as ``2026-11-22T10``, if that was known.
    """

    run: str
    stream: str
    parts: list[Part]
    origins: list[Origin] = []
    counts: dict[str, Counts] = {}
    durable: int = 0
    hour: str = ""


class Frame(msgspec.Struct):
    """A frame without its body. ``offset`` is where it begins in its segment; ``end`` is where the next may begin."""

    seq: int
    total: int
    count: int
    raw_len: int
    raw_check: int
    flags: int
    meta: Meta
    body_len: int
    meta_len: int = 0
    offset: int = 0

    @property
    def run(self) -> str:
        """The run whose ids the records have."""
        return self.meta.run

    @property
    def stream(self) -> str:
        """The data stream of the records, without the type: ``modeltail.inference-default``."""
        return self.meta.stream

    @property
    def is_small(self) -> bool:
        """Whether the records would become smaller, compressed with others."""
        return self.raw_len < ALONE_BYTES

    @property
    def hour(self) -> str:
        """The hour the times of all records lie in; empty when that is not known."""
        return self.meta.hour

    @property
    def parts(self) -> list[Part]:
        """The batches the records came in, for their ids."""
        return self.meta.parts

    @property
    def more(self) -> bool:
        """Whether the group goes on in the next frame."""
        return bool(self.flags & MORE)

    @property
    def form(self) -> Form:
        """In which form the records lie here."""
        return _FORMS[self.flags >> _FORM_SHIFT & _FORM_MASK]

    @property
    def size(self) -> int:
        """Bytes the frame takes on disk."""
        return HEAD.size + self.meta_len + self.body_len

    @property
    def end(self) -> int:
        """Offset behind the frame in its segment."""
        return self.offset + self.size


class Stored(msgspec.Struct):
    """A frame and its deflated documents."""

    frame: Frame
    body: bytes


class Damaged(Exception):
    """These bytes are not a frame: ``reason`` says why, in a few constant words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_NOT_DEFLATED = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance
_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(Meta).decode


def flags_of(form: Form, *, more: bool) -> int:
    """The flags of a frame in this form; ``more`` if its group goes on."""
    return int(form) << _FORM_SHIFT | (MORE if more else 0)


def deflate(text: bytes | bytearray, form: Form = Form.BULK) -> tuple[bytes, int]:
    """The body for this text, and its check. Releases the interpreter lock while it works."""
    compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    body = compressor.compress(text) + compressor.flush(isal_zlib.Z_SYNC_FLUSH)
    return body, check_of(form, text)


def inflate(frame: Frame, body: bytes) -> bytes:
    """The text of a frame. Raises ``Damaged`` when it is not what was written."""
    try:
        decompressor = isal_zlib.decompressobj(-15)
        text: bytes = decompressor.decompress(body, frame.raw_len) if frame.raw_len else b""
    except _NOT_DEFLATED as error:
        raise Damaged("body does not inflate") from error
    if len(text) != frame.raw_len or (text and check_of(frame.form, text) != frame.raw_check):
        raise Damaged("body inflates to something else")
    return text


def documents_in(frame: Frame, body: bytes) -> list[bytes]:
    """The documents of a frame, without newlines, in order of their ids. Raises ``Damaged`` as ``inflate`` does."""
    text = inflate(frame, body)
    try:
        return documents(frame.form, text)
    except ValueError as error:
        raise Damaged(str(error)) from error


def lines_in(frame: Frame, body: bytes) -> bytes:
    """The same, each ended by a newline."""
    if frame.form is Form.NDJSON:
        return inflate(frame, body)
    return b"\n".join((*documents_in(frame, body), b""))


def ids_of(frame: Frame) -> list[str]:
    """The ids of a frame's records, in order."""
    return [record_id(frame.run, part.batch, part.first + i) for part in frame.parts for i in range(part.count)]


def encode(mark: bytes, frame: Frame, body: bytes) -> list[bytes]:
    """The frame as buffers to be written one behind the other: mark, the rest of the head, meta, body. Sets
    ``frame.meta_len``."""
    meta = _encode_meta(frame.meta)
    frame.meta_len = len(meta)
    numbers = (frame.seq, frame.total, frame.count, frame.raw_len, frame.raw_check, frame.flags)
    head = HEAD.pack(mark, 0, len(meta), len(body), *numbers, 0)
    behind_crc = head[MARK_LEN + 4 :]
    crc = isal_zlib.crc32(body, isal_zlib.crc32(meta, isal_zlib.crc32(behind_crc)))
    return [mark, crc.to_bytes(4, "little") + behind_crc, meta, body]


def frame_size(head: bytes, mark: bytes) -> int:
    """Bytes of the frame that begins with this head. Raises ``Damaged`` when it cannot be one."""
    if len(head) < HEAD.size or head[:MARK_LEN] != mark:
        raise Damaged("no sync mark")
    _, _, meta_len, body_len, *_ = HEAD.unpack_from(head)
    if meta_len > MAX_META_BYTES or body_len > MAX_BODY_BYTES:
        raise Damaged("impossible length")
    return HEAD.size + int(meta_len) + int(body_len)


def decode(buffer: bytes, mark: bytes, offset: int) -> tuple[Frame, bytes]:
    """The frame in ``buffer``, which is exactly ``frame_size`` long, and its body. ``offset`` is noted in the frame.

    Raises ``Damaged`` when the checksum or anything else does not hold.
    """
    size = frame_size(buffer, mark)
    if len(buffer) != size:
        raise Damaged("cut short")
    _, crc, meta_len, body_len, seq, total, count, raw_len, raw_check, flags, _ = HEAD.unpack_from(buffer)
    view = memoryview(buffer)
    if isal_zlib.crc32(view[MARK_LEN + 4 :]) != crc:
        raise Damaged("checksum does not hold")
    try:
        meta = _decode_meta(view[HEAD.size : HEAD.size + meta_len])
    except msgspec.DecodeError as error:
        raise Damaged("meta block is not readable") from error
    if flags >> _FORM_SHIFT & _FORM_MASK not in _FORMS:
        raise Damaged("records in a form that this version does not know")
    frame = Frame(
        seq=seq, total=total, count=count, raw_len=raw_len, raw_check=raw_check, flags=flags,
        meta_len=meta_len, body_len=body_len, meta=meta, offset=offset,
    )  # fmt: skip
    return frame, bytes(view[HEAD.size + meta_len :])
