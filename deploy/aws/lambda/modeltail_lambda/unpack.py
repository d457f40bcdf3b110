"""What is in one Kinesis record: documents, one a line, in one of the forms that the output `kinesis` writes.

aggregation: gzip    gzip members (1F 8B) of newline-delimited documents
aggregation: kpl     records joined by the format of the Kinesis Producer Library, a document in each
aggregation: none    the document itself
"""

import zlib

from . import kpl

MAX_INFLATED_BYTES = 64 * 1024 * 1024
"""More than this is not inflated: a record has at most 10 MiB, and logs deflate to a ninth."""

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31
"""zlib's name for a gzip header with any window."""


class Unreadable(Exception):
    """A Kinesis record that holds no documents one could get at. It is set aside as it is."""


def documents_in(data: bytes) -> list[bytes]:
    """The text of each document, as it was written. Raises ``Unreadable``."""
    try:
        if data.startswith(_GZIP):
            found = _lines(_inflated(data))
        elif data.startswith(kpl.MAGIC):
            found = [line for record in kpl.user_records(data) for line in _lines(record)]
        else:
            found = _lines(data)
    except (ValueError, zlib.error) as error:
        raise Unreadable(str(error)) from error
    if not found:
        raise Unreadable("it is empty")
    if not any(line.startswith(b"{") for line in found):
        raise Unreadable("it is neither gzip, nor joined records, nor JSON")
    return found


def _lines(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line and not line.isspace()]


def _inflated(data: bytes) -> bytes:
    """What all the gzip members hold, one behind the other."""
    pieces: list[bytes] = []
    room = MAX_INFLATED_BYTES
    while data:
        member = zlib.decompressobj(_GZIP_WINDOW)
        pieces.append(member.decompress(data, room + 1))
        room -= len(pieces[-1])
        if room < 0:
            raise ValueError(f"it is more than {MAX_INFLATED_BYTES} bytes when inflated")
        if not member.eof:
            raise ValueError("the gzip data is cut off")
        data = member.unused_data
    return b"".join(pieces)
