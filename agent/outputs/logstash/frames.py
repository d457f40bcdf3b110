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

An event is the document, byte for byte, with the object ``@metadata`` in front, which Logstash keeps from what it
writes unless told otherwise: ``[@metadata][_id]`` is the record's id.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import add
from typing import Final

from isal import isal_zlib

from agent import __version__

WINDOW: Final = 2048
"""Events in a window at most, as with Beats; go-lumber takes no more than 10,000."""

KNOCK: Final = b"2W\0\0\0\0"
"""A window of no events."""

_EVENT: Final = struct.Struct(">2sII").pack
_NUMBER: Final = struct.Struct(">2sI").pack
_ACK_BYTES: Final = 6
_METADATA: Final = b'{"@metadata":{"beat":"modeltail","version":"%s","_id":"' % __version__.encode()
_BETWEEN: Final = b'"},'
_AROUND: Final = len(_METADATA) + len(_BETWEEN) - 1
"""Bytes of an event beyond its id and its document: the document's brace is the metadata's."""


class NotLumberjack(Exception):
    """The other end sent what no reader of lumberjack sends; the message says what."""


def window(ids: Sequence[bytes], documents: Sequence[bytes], *, compress: bool = True) -> bytes:
    """One window of these events, at least one and at most ``WINDOW``. Documents are JSON objects in UTF-8, each
    beginning with its brace, and of less than 4 GiB. Compressing releases the interpreter lock.
    """
    frames = _events(ids, documents)
    head = _NUMBER(b"2W", len(ids))
    if not compress:
        return head + frames
    compressed: bytes = isal_zlib.compress(frames, 1)
    return b"".join((head, _NUMBER(b"2C", len(compressed)), compressed))


def _events(ids: Sequence[bytes], documents: Sequence[bytes]) -> bytes:
    """The event frames, joined once from five pieces each."""
    count = len(ids)
    pieces: list[bytes] = [_METADATA] * (5 * count)
    lengths = map(add, map(len, ids), map(len, documents))
    pieces[0::5] = map(_EVENT, repeat(b"2J"), range(1, count + 1), [_AROUND + length for length in lengths])
    pieces[2::5] = ids
    pieces[3::5] = [_BETWEEN] * count
    pieces[4::5] = [document[1:] for document in documents]
    if b"{}" in documents:
        _without_comma(pieces, documents)
    return b"".join(pieces)


def _without_comma(pieces: list[bytes], documents: Sequence[bytes]) -> None:
    """Nothing follows the metadata in an empty document."""
    for i, document in enumerate(documents):
        if document == b"{}":
            kind, seq, length = struct.unpack(">2sII", pieces[5 * i])
            pieces[5 * i] = _EVENT(kind, seq, length - 1)
            pieces[5 * i + 3] = _BETWEEN[:-1]


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
