"""Lumberjack, version 2: what goes over the wire between a Beat and Logstash's input ``beats``. Pure.

The protocol has no specification but its servers: logstash-input-beats (``PROTOCOL.md``, ``BeatsParser.java`` of 7.0.9)
and elastic/go-lumber 0.2.0. All numbers are big-endian; nothing stands between frames::

    '2' 'W'  u32 count                     a window: so many events follow, and wait for their acknowledgement
    '2' 'J'  u32 seq  u32 len  payload     an event: a JSON object
    '2' 'C'  u32 len  payload              whole frames, compressed: a zlib stream (RFC 1950)
    '2' 'A'  u32 seq                       from the reader: all events of the window up to this one are taken

``seq`` runs from 1 in every window. A writer may have several windows on their way; they are acknowledged in order. An
acknowledgement of 0 takes nothing: the reader is at work and alive. Logstash answers a window of 0 events with one;
others say nothing. There is no refusal: a reader that cannot go on closes the connection.

What an event is beside the document is said in ``agent.form``.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from isal import isal_zlib

from agent.form import event_frames, event_line
from agent.record import MAX_BATCH_RECORDS

WINDOW: Final = 2048
"""Events in a window that we make, at most: as with Beats."""

LARGEST_WINDOW: Final = MAX_BATCH_RECORDS
"""Events in a window that lies in the queue, at most: what an input read in one go. Readers acknowledge whole windows,
so they are not to be too large; go-lumber takes no more than 10,000."""

KNOCK: Final = b"2W\0\0\0\0"
"""A window of no events."""

_NUMBER: Final = struct.Struct(">2sI").pack
_ACK_BYTES: Final = 6
_ZLIB_HEADER: Final = b"\x78\x01"
_FINAL_BLOCK: Final = b"\x03\x00"


class NotLumberjack(Exception):
    """The other end sent what no reader of lumberjack sends; the message says what."""


def window(documents: Sequence[bytes], *, compress: bool = True) -> bytes:
    """One window of these events, at least one and at most ``WINDOW``. Documents are JSON objects in UTF-8, each
    beginning with its brace, and of less than 4 GiB. Compressing releases the interpreter lock.
    """
    frames = event_frames(b"".join(map(event_line, documents)))
    if not compress:
        return _NUMBER(b"2W", len(documents)) + frames
    return b"".join(_window(len(documents), isal_zlib.compress(frames, 1)))


def window_of_frame(count: int, deflated: bytes, check: int) -> bytes:
    """One window of the events of a frame of the queue that lies there in this form. ``deflated`` is its body: raw
    deflate ended by a sync flush, which header, final block and Adler-32 make a zlib stream (RFC 1950)."""
    return b"".join(_window(count, _ZLIB_HEADER, deflated, _FINAL_BLOCK, check.to_bytes(4, "big")))


def _window(count: int, *compressed: bytes) -> tuple[bytes, ...]:
    return (_NUMBER(b"2W", count), _NUMBER(b"2C", sum(map(len, compressed))), *compressed)


class AckReader:
    """Reads what comes back, however it is cut."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, data: bytes) -> Iterator[int]:
        """The sequence numbers acknowledged by what has come now, to be taken one by one: what stands before a mistake
        counts. Raises ``NotLumberjack`` at the first; then the reader is of no more use."""
        data = self._rest + data
        whole = len(data) - len(data) % _ACK_BYTES
        self._rest = data[whole:]
        for start in range(0, len(data), _ACK_BYTES):
            kind = data[start : start + 2]
            if kind != b"2A"[: len(kind)]:
                raise NotLumberjack(f"not an acknowledgement: {data[start : start + 16]!r}")
            if start < whole:
                yield int.from_bytes(data[start + 2 : start + _ACK_BYTES], "big")
