"""The wire format, against a decoder that is not the encoder's."""

import json
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import __version__
from agent.form import Form
from agent.outputs.logstash.frames import AckReader, NotLumberjack, window, window_of_frame
from tests.fakes.batches import frame_of
from tests.fakes.lumberjack import split_event

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.builds(
    lambda content, ascii_only: json.dumps(content, separators=(",", ":"), ensure_ascii=ascii_only).encode(
        errors="replace"
    ),
    st.dictionaries(st.text(), values, max_size=4),
    st.booleans(),
)


def unpacked(frames: bytes) -> list[tuple[bytes, int, bytes]]:
    """Kind, number and payload of every frame."""
    found = []
    while frames:
        kind = frames[:2]
        if kind == b"2J":
            seq, length = struct.unpack_from(">II", frames, 2)
            found.append((kind, seq, frames[10 : 10 + length]))
            assert len(frames) >= 10 + length
            frames = frames[10 + length :]
        elif kind == b"2W":
            found.append((kind, struct.unpack_from(">I", frames, 2)[0], b""))
            frames = frames[6:]
        else:
            assert kind == b"2C"
            (length,) = struct.unpack_from(">I", frames, 2)
            found += unpacked(zlib.decompress(frames[6 : 6 + length]))
            frames = frames[6 + length :]
    return found


@given(st.lists(documents, min_size=1, max_size=20), st.booleans())
def test_window_holds_every_document_byte_for_byte(records: Sequence[bytes], compress: bool) -> None:
    """Numbered from 1, and nothing is changed."""
    (kind, count, _), *events = unpacked(window(records, compress=compress))
    assert (kind, count) == (b"2W", len(records))
    assert [(kind, seq) for kind, seq, _ in events] == [(b"2J", i + 1) for i in range(len(records))]
    assert [split_event(payload).document for _, _, payload in events] == list(records)
    for _, _, payload in events:
        json.loads(payload)


@given(st.lists(documents.filter(lambda document: document != b"{}"), min_size=1, max_size=20))
def test_frame_of_the_queue_is_the_window_that_would_be_made(records: Sequence[bytes]) -> None:
    """Header, final block and checksum make a whole stream of what lies on disk."""
    frame, body = frame_of("r", 1, records, form=Form.LUMBERJACK)
    assert unpacked(window_of_frame(frame.count, body, frame.raw_check)) == unpacked(window(records))


def test_window_byte_for_byte() -> None:
    """What a reader of the protocol's description would write."""
    first = b'{"@metadata":{"beat":"modeltail","version":"%s"},"n":1.10}\n' % __version__.encode()
    second = b'{"@metadata":{"beat":"modeltail","version":"%s"}}\n' % __version__.encode()
    assert window([b'{"n":1.10}', b"{}"], compress=False) == (
        b"2W\0\0\0\x02"
        + (b"2J\0\0\0\x01" + len(first).to_bytes(4, "big") + first)
        + (b"2J\0\0\0\x02" + len(second).to_bytes(4, "big") + second)
    )


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20), st.lists(st.integers(0, 120), max_size=6))
def test_acknowledgements_are_read_however_they_are_cut(seqs: list[int], cuts: list[int]) -> None:
    """Every one, once, in order."""
    data = b"".join(struct.pack(">2sI", b"2A", seq) for seq in seqs)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    reader = AckReader()
    read = [seq for start, end in pairwise(places) for seq in reader.read(data[start:end])]
    assert read == seqs


@pytest.mark.parametrize("data", [b"1A\0\0\0\1", b"2W\0\0\0\1", b"HTTP/1.1 400", b"2A\0\0\0\1X", b"\x15\x03"])
def test_anything_but_an_acknowledgement_is_an_error(data: bytes) -> None:
    """However it is cut."""
    with pytest.raises(NotLumberjack):
        list(AckReader().read(data))
    byte_by_byte = AckReader()
    with pytest.raises(NotLumberjack):
        [seq for i in range(len(data)) for seq in byte_by_byte.read(data[i : i + 1])]
