"""Request bodies: what a server reads after inflating them."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch
from agent.form import Form
from agent.outputs.elasticsearch.body import body_of, bulk_lines
from agent.outputs.gzip import Piece, gzip_of
from agent.queue.frame import deflate
from agent.record import RunId
from tests.fakes.batches import batch_of, frame_of

DOCUMENTS = st.lists(st.binary(max_size=300).map(lambda raw: b'{"x":%s}' % json.dumps(raw.hex()).encode()), max_size=20)


@given(st.lists(DOCUMENTS, max_size=6), st.sampled_from(Form))
def test_body_is_the_records_in_order_whatever_form_they_lie_in(frames: list[list[bytes]], form: Form) -> None:
    """Inflated it is an action line and the document by turns; the checksum, made without looking at them, holds."""
    documents = [document for frame in frames for document in frame]
    batch = batch_of(*frames, run=RunId().text, form=form)
    single = DeliveryBatch.of_documents(batch.stream, batch.ids(), documents)
    for sent in (batch, single):
        assert gzip.decompress(b"".join(body_of(sent))) == bulk_lines(batch.ids(), documents)


def test_frames_of_bulks_are_sent_as_they_lie() -> None:
    """Not a byte of them is copied or compressed again."""
    batch = batch_of([b"{}"] * 3, [b"{}"] * 2)
    _, first, second, _ = body_of(batch)
    assert first is batch.bodies[0]
    assert second is batch.bodies[1]


@given(st.lists(st.tuples(DOCUMENTS, st.sampled_from(Form)), min_size=1, max_size=4))
def test_body_of_several_forms_has_the_frames_of_bulks_as_they_lie(frames: list[tuple[list[bytes], Form]]) -> None:
    """After a change of the configuration only what lies there in another form is made anew, in its place."""
    run = RunId().text
    made = [frame_of(run, number, documents, form=form) for number, (documents, form) in enumerate(frames)]
    batch = DeliveryBatch("s", [frame for frame, _ in made], [body for _, body in made])
    _, *bodies, _ = sent = body_of(batch)
    assert gzip.decompress(b"".join(sent)) == bulk_lines(batch.ids(), batch.documents())
    for (frame, body), is_sent in zip(made, bodies, strict=True):
        assert (is_sent is body) == (frame.form is Form.BULK)


def test_a_body_over_four_gibibytes_has_its_length_modulo() -> None:
    """The gzip trailer holds the length modulo 2**32 (RFC 1952), so a huge batch is no overflow."""
    deflated, crc = deflate(b"{}")
    piece = Piece(deflated, 2**31 + 5, crc)
    *_, trailer = gzip_of([piece, piece])
    assert int.from_bytes(trailer[-4:], "little") == 10
