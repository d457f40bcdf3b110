"""Batches as the delivery loop hands them to an output, without a queue behind them."""

import json
from collections.abc import Sequence

from agent.delivery.contract import DeliveryBatch
from agent.queue.frame import Frame, Meta, Part, deflate
from agent.record import RunId, record_id

STREAM = "modeltail.inference-default"


def document(number: int, **fields: object) -> bytes:
    """A small valid document."""
    content = {"@timestamp": "2026-11-22T10:00:00.123456Z", "message": f"record {number}", **fields}
    return json.dumps(content, separators=(",", ":")).encode()


def frame_of(run: str, batch: int, documents: Sequence[bytes], stream: str = STREAM) -> tuple[Frame, bytes]:
    """A frame holding these documents, and its body."""
    ids = [record_id(run, batch, i) for i in range(len(documents))]
    lines = [b'{"create":{"_id":"%s"}}\n%s\n' % (r.encode(), d) for r, d in zip(ids, documents, strict=True)]
    ndjson = b"".join(lines)
    body, crc = deflate(ndjson)
    meta = Meta(run, stream, [Part(batch, 0, len(documents))])
    frame = Frame(
        seq=batch,
        total=0,
        count=len(documents),
        raw_len=len(ndjson),
        raw_crc=crc,
        flags=0,
        meta_len=0,
        body_len=len(body),
        meta=meta,
    )
    return frame, body


def batch_of(*frames: Sequence[bytes], run: str | None = None, stream: str = STREAM) -> DeliveryBatch:
    """A batch of whole frames, each given by its documents, of a run of its own unless one is named."""
    run = run or RunId().text
    made = [frame_of(run, number, documents, stream) for number, documents in enumerate(frames)]
    return DeliveryBatch(stream, [frame for frame, _ in made], [body for _, body in made])
