"""The forms in which records lie in the queue: what is put in comes out again, whatever the wire."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.components import form_for
from agent.delivery.contract import DeliveryBatch
from agent.form import Form, check_of, documents, packed
from agent.outputs import OutputConfig
from agent.queue.frame import Damaged, Frame, Meta, Part, decode, deflate, documents_in, encode, flags_of, inflate
from agent.record import RunId, record_id
from tests.fakes.batches import batch_of, document, frame_of

contents = st.dictionaries(st.text(max_size=20), st.text(max_size=40) | st.integers(), min_size=1, max_size=3)
some = st.lists(contents.map(lambda c: json.dumps(c, separators=(",", ":")).encode()), max_size=300)
forms = pytest.mark.parametrize("form", Form)


@given(some, st.sampled_from(Form))
def test_documents_come_back_byte_for_byte(made: Sequence[bytes], form: Form) -> None:
    """Numbers in event frames hold any byte, a newline's too, and none is taken for a line's end."""
    frame, body = frame_of("run", 1, made, form=form)
    assert frame.form is form
    assert documents(form, inflate(frame, body)) == list(made)


@given(st.lists(some, max_size=3), st.lists(st.sampled_from(Form), min_size=3, max_size=3))
def test_batch_of_several_forms_reads_like_any_other(frames: list[list[bytes]], of: list[Form]) -> None:
    """After a change of the configuration the queue holds both the old form and the new."""
    run = RunId().text
    made = [frame_of(run, number, frame, form=of[number]) for number, frame in enumerate(frames)]
    batch = DeliveryBatch("s", [frame for frame, _ in made], [body for _, body in made])
    whole = [document for frame in frames for document in frame]
    assert batch.lines() == b"".join(document + b"\n" for document in whole)
    assert batch.documents() == whole


@forms
def test_form_survives_the_disk(form: Form) -> None:
    """It is in the frame's flags, beside MORE."""
    body, check = deflate(packed(form, b""), form)
    mark = bytes(8)
    for more in (True, False):
        frame = Frame(1, 0, 0, 0, check, flags_of(form, more=more), Meta("r", "s", [], hour="2026-11-22T10"), len(body))
        back, _ = decode(b"".join(encode(mark, frame, body)), mark, 0)
        assert (back.form, back.more, back.hour) == (form, more, "2026-11-22T10")


def test_form_of_a_later_version_is_told() -> None:
    """It is not read as something else."""
    frame = Frame(1, 0, 0, 0, 0, 3 << 1, Meta("r", "s", []), 0)
    with pytest.raises(Damaged, match="a form that this version does not know"):
        decode(b"".join(encode(bytes(8), frame, b"")), bytes(8), 0)


@forms
def test_text_that_is_not_what_was_written_is_damage(form: Form) -> None:
    """The check holds over the text, whichever check the form's wire has."""
    frame, _ = frame_of("run", 1, [document(1)], form=form)
    other, _ = frame_of("run", 1, [document(2)], form=form)
    body, _ = deflate(inflate(other, _body_of(document(2), form)), form)
    with pytest.raises(Damaged, match="something else"):
        inflate(frame, body)


def _body_of(content: bytes, form: Form) -> bytes:
    return frame_of("run", 1, [content], form=form)[1]


@pytest.mark.parametrize(
    "text", [b"2J", b"2J\0\0\0\x02\0\0\0\0", b"2J\0\0\0\x01\0\0\0\x09{}\n", b"2W\0\0\0\x01\0\0\0\0"]
)
def test_what_are_no_event_frames_is_told(text: bytes) -> None:
    """Cut, wrongly numbered, or something else."""
    with pytest.raises(ValueError, match="event frames"):
        documents(Form.LUMBERJACK, text)


def test_frame_written_wrongly_is_damage_to_whoever_reads_it() -> None:
    """Its checksum holds, and still there are no event frames in it."""
    frame, body = frame_of("run", 1, [document(1)], form=Form.NDJSON)
    text = inflate(frame, body)
    frame.flags, frame.raw_check = flags_of(Form.LUMBERJACK, more=False), check_of(Form.LUMBERJACK, text)
    with pytest.raises(Damaged, match="event frames"):
        documents_in(frame, body)


def test_ids_do_not_depend_on_the_form() -> None:
    """They are what the frame's parts say."""
    batches = [batch_of([document(1), document(2)], run="r", form=form) for form in Form]
    assert [batch.ids() for batch in batches] == [[record_id("r", 0, 0), record_id("r", 0, 1)]] * len(Form)
    assert batches[0].frames[0].parts == [Part(0, 0, 2)]


def _outputs(*kinds: str) -> list[OutputConfig]:
    made = [msgspec.convert({"id": str(i), **_OUTPUTS[kind]}, OutputConfig) for i, kind in enumerate(kinds)]
    return [cast(OutputConfig, output) for output in made]


_OUTPUTS: dict[str, dict[str, object]] = {
    "bulk": {"type": "elasticsearch", "hosts": ["http://a:1"]},
    "search": {"type": "opensearch", "hosts": ["http://a:1"]},
    "objects": {"type": "s3", "bucket": "bbb"},
    "columns": {"type": "s3", "bucket": "bbb", "format": "parquet"},
    "beats": {"type": "logstash", "hosts": ["a:1"]},
    "plain beats": {"type": "logstash", "hosts": ["a:1"], "compress": False},
    "lines": {"type": "logstash", "hosts": ["a:1"], "protocol": "tcp"},
    "some": {"type": "elasticsearch", "hosts": ["http://a:1"], "when": ["level>=error"]},
    "local": {"type": "local", "path": Path("/x")},
}


@pytest.mark.parametrize(
    ("kinds", "form"),
    [
        (["bulk"], Form.BULK),
        (["search"], Form.BULK),
        (["objects"], Form.NDJSON),
        (["beats"], Form.LUMBERJACK),
        (["local"], Form.NDJSON),
        (["columns"], Form.NDJSON),
        (["plain beats"], Form.NDJSON),
        (["lines"], Form.NDJSON),
        (["local", "beats"], Form.LUMBERJACK),
        (["objects", "bulk"], Form.NDJSON),
        (["bulk", "objects"], Form.BULK),
        (["objects", "bulk", "search"], Form.BULK),
        (["some", "beats"], Form.LUMBERJACK),
        (["some"], Form.NDJSON),
    ],
)
def test_queue_has_the_form_that_most_outputs_send(kinds: list[str], form: Form) -> None:
    """Of equals that of the first; what takes documents one by one, or only some of them, has no say."""
    assert form_for(_outputs(*kinds)) is form
