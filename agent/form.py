"""In which form records lie in the queue: that of the wire they leave by, so that what is rendered and compressed once
is sent as it lies.

======================  ================================================================================  ========
form                    a record                                                                          check
======================  ================================================================================  ========
``BULK``                two lines, ``{"create":{"_id":ID}}`` and the document: Elasticsearch's and        CRC-32
                        OpenSearch's ``_bulk``
``NDJSON``              one line, the document: an object in S3                                           CRC-32
``LUMBERJACK``          ``2J``, number and length (big-endian ``u32``), event: an event frame of          Adler-32
                        lumberjack 2, for Logstash's input ``beats``
======================  ================================================================================  ========

The number of an event frame counts from 1 in every frame of the queue, and so in every window. The event is the
document with ``@metadata`` in front, as Beats have it and Logstash leaves it out of what it writes, and a newline
behind.

The check is that of a frame's text before it is compressed: gzip's, or zlib's. Every output can read every form, by
``documents``; one that can send it as it lies need not. Pure.
"""

import struct
from enum import IntEnum
from typing import Final

from isal import isal_zlib

from agent import __version__


class Form(IntEnum):
    """See the module. The numbers are those on disk."""

    BULK = 0
    NDJSON = 1
    LUMBERJACK = 2


_METADATA: Final = b'{"@metadata":{"beat":"modeltail","version":"%s"},' % __version__.encode()
"""What stands in an event for the document's first brace."""

_METADATA_END: Final = b"},"
_MARK: Final = b"2J"
_NUMBERS: Final = struct.Struct(">II")
_HEAD_LEN: Final = len(_MARK) + _NUMBERS.size
_LATER: Final = _MARK + b"\0" * _NUMBERS.size
"""Where number and length will be written."""

_AROUND_ID: Final = {
    Form.BULK: (b'{"create":{"_id":"', b'"}}\n{'),
    Form.NDJSON: (b"", b"{"),
    Form.LUMBERJACK: (b"", _LATER + _METADATA),
}


def around_id(form: Form) -> tuple[bytes, bytes]:
    """What a record's lines begin with, up to its id, and what stands between the id and the document's first field.
    Nothing before the id: the record's line does not begin with one."""
    return _AROUND_ID[form]


def packed(form: Form, lines: bytes) -> bytes | bytearray:
    """The text of a frame for these lines, each ended by a newline."""
    return event_frames(lines) if form is Form.LUMBERJACK else lines


def event_line(document: bytes) -> bytes:
    """A document as a line for ``event_frames``."""
    metadata = _METADATA if document != b"{}" else _METADATA[:-1]
    return b"%b%b%b\n" % (_LATER, metadata, document[1:])


def event_frames(lines: bytes) -> bytearray:
    """Lines of events as event frames: number and length are written into each."""
    frames = bytearray(lines)
    find, write = lines.find, _NUMBERS.pack_into
    number, start = 1, len(_MARK)
    while start < len(lines):
        end = find(b"\n", start) + 1
        write(frames, start, number, end - start - _NUMBERS.size)
        number += 1
        start = end + len(_MARK)
    return frames


def check_of(form: Form, text: bytes | bytearray) -> int:
    """The check of a frame's text."""
    check: int = isal_zlib.adler32(text) if form is Form.LUMBERJACK else isal_zlib.crc32(text)
    return check


def documents(form: Form, text: bytes) -> list[bytes]:
    """The documents in a frame's text, without newlines. Raises ``ValueError`` when it was written wrongly."""
    match form:
        case Form.BULK:
            return text.split(b"\n")[1:-1:2]
        case Form.NDJSON:
            return text.split(b"\n")[:-1]
        case Form.LUMBERJACK:
            return [_without_metadata(event) for event in _events(text)]


def parts_with_id(form: Form, text: bytes) -> list[bytes]:
    """For each record in a frame's text that in which its id must stand. Raises ``ValueError`` as ``documents``
    does."""
    match form:
        case Form.BULK:
            return text.split(b"\n")[:-1:2]
        case Form.NDJSON:
            return documents(form, text)
        case Form.LUMBERJACK:
            return _events(text)


def _events(text: bytes) -> list[bytes]:
    events: list[bytes] = []
    at = 0
    while at < len(text):
        mark, numbers = text[at : at + len(_MARK)], text[at + len(_MARK) : at + _HEAD_LEN]
        number, length = _NUMBERS.unpack(numbers.ljust(_NUMBERS.size))
        at += _HEAD_LEN + length
        if mark != _MARK or number != len(events) + 1 or at > len(text):
            raise ValueError("these are not event frames")
        events.append(text[at - length : at])
    return events


def _without_metadata(event: bytes) -> bytes:
    """The document of an event. The version in the metadata may be another than ours."""
    return b"{" + event[event.index(_METADATA_END) + len(_METADATA_END) : -1]
