"""Request bodies: what a server reads after inflating them."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.elasticsearch.body import bulk_lines, of_documents, of_frames
from agent.record import RunId, record_id
from tests.fakes.batches import frame_of

DOCUMENTS = st.lists(st.binary(max_size=300).map(lambda raw: json.dumps(raw.hex()).encode()), max_size=20)


@given(st.lists(DOCUMENTS, max_size=6))
def test_frames_join_into_one_gzip_member(frames: list[list[bytes]]) -> None:
    """Inflated, the body is the frames' lines in order; the checksum, made without looking at them, holds."""
    run = RunId().text
    made = [frame_of(run, number, documents) for number, documents in enumerate(frames)]
    body = b"".join(of_frames([frame for frame, _ in made], [body for _, body in made]))
    expected = b"".join(
        bulk_lines([record_id(run, number, i) for i in range(len(documents))], documents)
        for number, documents in enumerate(frames)
    )
    assert gzip.decompress(body) == expected


@given(DOCUMENTS)
def test_single_documents_make_the_same_lines(documents: list[bytes]) -> None:
    """A batch of picked documents reads the same as a frame of them."""
    run = RunId().text
    ids = [record_id(run, 0, i) for i in range(len(documents))]
    frame, body = frame_of(run, 0, documents)
    assert gzip.decompress(b"".join(of_documents(ids, documents))) == gzip.decompress(
        b"".join(of_frames([frame], [body]))
    )


def test_a_body_over_four_gibibytes_has_its_length_modulo() -> None:
    """The gzip trailer holds the length modulo 2**32 (RFC 1952), so a huge batch is no overflow."""
    frame, body = frame_of(RunId().text, 0, [b"{}"])
    frame.raw_len = 2**31 + 5
    *_, trailer = of_frames([frame, frame], [body, body])
    assert int.from_bytes(trailer[-4:], "little") == 10
