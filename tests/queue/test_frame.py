"""A frame on disk: its exact bytes, and every way it can be damaged."""

import pytest

from agent.queue import frame as frames
from agent.queue.frame import Damaged, Frame, Meta, Part
from agent.record import Counts, Origin

MARK = bytes(range(8))
DOCUMENTS = b'{"create":{"_id":"a-1-0"}}\n{"x":1}\n'
META = Meta("run", "stream", [Part(1, 0, 1)], [Origin("in", "src", b"\x01")], {"in": Counts(1, 8, {"empty": 2}, {})})


def _encoded() -> bytes:
    body, crc = frames.deflate(DOCUMENTS)
    frame = Frame(7, 40, 1, len(DOCUMENTS), crc, 0, META, len(body))
    return b"".join(frames.encode(MARK, frame, body))


def test_head_is_laid_out_as_documented() -> None:
    """The numbers lie where the module's table says, little-endian."""
    data = _encoded()
    assert data[:8] == MARK
    assert int.from_bytes(data[12:16], "little") + int.from_bytes(data[16:20], "little") + 52 == len(data)
    assert int.from_bytes(data[20:28], "little") == 7
    assert int.from_bytes(data[28:36], "little") == 40
    assert int.from_bytes(data[36:40], "little") == 1
    assert int.from_bytes(data[40:44], "little") == len(DOCUMENTS)
    assert data[48:52] == bytes(4)


def test_frame_comes_back_as_written() -> None:
    """Decoding gives what was encoded, body and meta included."""
    data = _encoded()
    frame, body = frames.decode(data, MARK, 100)
    assert (frame.seq, frame.total, frame.count, frame.offset, frame.end) == (7, 40, 1, 100, 100 + len(data))
    assert frame.meta == META
    assert frames.inflate(frame, body) == DOCUMENTS


def test_every_flipped_bit_is_noticed() -> None:
    """No single flipped bit of a frame, mark included, goes unnoticed."""
    data = _encoded()
    for i in range(len(data) * 8):
        bad = bytearray(data)
        bad[i // 8] ^= 1 << (i % 8)
        with pytest.raises(Damaged):
            frames.decode(bytes(bad), MARK, 0)


def test_every_cut_is_noticed() -> None:
    """A frame cut at any length is damaged, not a shorter frame."""
    data = _encoded()
    for length in range(len(data)):
        with pytest.raises(Damaged):
            frames.decode(data[:length], MARK, 0)


def test_bodies_join_into_one_deflate_stream() -> None:
    """Bodies laid one behind the other, with a final block, inflate to all documents: the bytes on disk are the bytes
    on the wire."""
    import zlib

    first, second = frames.deflate(b"one\n" * 50)[0], frames.deflate(b"two\n" * 50)[0]
    assert zlib.decompress(first + second + b"\x03\x00", -15) == b"one\n" * 50 + b"two\n" * 50
