"""The position in the journal as it is stored in the queue's frames (``Origin.state``).

MessagePack, an array: the version first, then the cursor as journalctl writes it (``s=…;i=…;b=…;m=…;t=…;x=…``).
"""

import msgspec

VERSION = 1
SOURCE = "journal"


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Behind which entry to go on."""

    version: int
    cursor: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Position)


def encode_position(cursor: str) -> bytes:
    """The stored form."""
    return _encoder.encode(Position(VERSION, cursor))


def decode_position(state: bytes) -> str:
    """The cursor. Raises ``ValueError`` if the state is damaged or of a version this program does not know."""
    try:
        position = _decoder.decode(state)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a position in the journal: {error}") from None
    if position.version != VERSION:
        raise ValueError(f"a position of version {position.version}; this program knows version {VERSION}")
    return position.cursor


def same_entry(one: str, other: str) -> bool:
    """Whether two cursors are of the same entry: by its number within its journal (``s``, ``i``), or, where that was
    written anew, by boot, time and the hash of its content."""
    if one == other:
        return True
    a, b = _parts(one), _parts(other)
    return any(all(a.get(key) is not None and a.get(key) == b.get(key) for key in keys) for keys in ("si", "bmtx"))


def _parts(cursor: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in cursor.split(";") if "=" in part)
