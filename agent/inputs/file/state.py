"""The position of one file as it is stored in the queue's frames (``Origin.state``).

MessagePack, an array: the version first, then the fields of ``Position`` in order. A version this program does not
know is refused, never guessed at. Fields are only ever added at the end, with a default.

    1: path, name, device, inode, [offset, head length, head hash, tail length, tail hash], at, mtime, open
"""

import msgspec

from agent.inputs.assembly.assembly import Open
from agent.inputs.file.identity import Fingerprint
from agent.inputs.lines import At

VERSION = 1


class Position(msgspec.Struct, frozen=True, array_like=True):
    """How far one generation of a file is read, and how to recognise that generation again.

    ``path`` is the file's path as configured (the name lines are written under), ``name`` where this generation was
    last seen (``model.log.1`` after a rotation). Both are file system bytes. ``mtime_ns`` is the file's modification
    time when it was last read: it orders generations. ``open`` lies before the offset and is read again: events that
    were not complete when it was reached.
    """

    version: int
    path: bytes
    name: bytes
    device: int
    inode: int
    fingerprint: Fingerprint
    at: At
    mtime_ns: int
    open: tuple[Open, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Position)


def encode_position(position: Position) -> bytes:
    """The stored form."""
    return _encoder.encode(position)


def decode_position(state: bytes) -> Position:
    """Read the stored form. Raises ``ValueError`` if it is damaged or of a version this program does not know."""
    try:
        position = _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a file position: {error}") from None
    if position.version != VERSION:
        raise ValueError(f"a file position of version {position.version}; this program knows version {VERSION}")
    return position
