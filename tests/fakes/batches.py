"""Batches as the delivery loop hands them to an output, without a queue behind them."""

import json
from collections.abc import Iterable, Sequence

from agent.delivery.contract import DeliveryBatch
from agent.form import Form, around_id, packed
from agent.queue.frame import Frame, Meta, Part, deflate, flags_of
from agent.record import RunId, record_id

STREAM = "modeltail.inference-default"


def document(number: int, **fields: object) -> bytes:
    """A small valid document."""
    content = {"@timestamp": "2026-11-22T10:00:00.123456Z", "message": f"record {number}", **fields}
    return json.dumps(content, separators=(",", ":")).encode()


def lines_of(records: Iterable[tuple[str, bytes]], form: Form) -> bytes:
    """Lines in this form for these ids and documents, which for lumberjack are objects that hold something."""
    begin, between = around_id(form)
    head = between.removesuffix(b"{")
    skip = 1 if head == between else 0
    return b"".join(
        b"%b%b%b\n" % (begin + record.encode() if begin else b"", head, document[skip:]) for record, document in records
    )


def frame_of(
    run: str,
    batch: int,
    documents: Sequence[bytes],
    stream: str = STREAM,
    *,
    form: Form = Form.BULK,
    hour: str = "",
) -> tuple[Frame, bytes]:
    """A frame holding these documents, and its body."""
    records = [(record_id(run, batch, i), document) for i, document in enumerate(documents)]
    text = packed(form, lines_of(records, form))
    body, check = deflate(text, form)
    meta = Meta(run, stream, [Part(batch, 0, len(documents))], hour=hour)
    frame = Frame(
        seq=batch,
        total=0,
        count=len(documents),
        raw_len=len(text),
        raw_check=check,
        flags=flags_of(form, more=False),
        meta_len=0,
        body_len=len(body),
        meta=meta,
    )
    return frame, body


def batch_of(
    *frames: Sequence[bytes], run: str | None = None, stream: str = STREAM, form: Form = Form.BULK, hour: str = ""
) -> DeliveryBatch:
    """A batch of whole frames, each given by its documents, of a run of its own unless one is named."""
    run = run or RunId().text
    made = [frame_of(run, number, documents, stream, form=form, hour=hour) for number, documents in enumerate(frames)]
    return DeliveryBatch(stream, [frame for frame, _ in made], [body for _, body in made])


def named_batch_of(*frames: Sequence[bytes], form: Form = Form.BULK) -> DeliveryBatch:
    """The same, where each document ends with its ``event.id``, as those of the agent have it."""
    run = RunId().text
    named = (
        [_with_id(document, record_id(run, number, i)) for i, document in enumerate(documents)]
        for number, documents in enumerate(frames)
    )
    return batch_of(*named, run=run, form=form)


def _with_id(document: bytes, record: str) -> bytes:
    comma = b"" if document == b"{}" else b","
    return b'%b%b"event":{"id":"%b"}}' % (document[:-1], comma, record.encode())
