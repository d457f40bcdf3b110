"""Request bodies: frames of the queue joined into one gzip member as they lie, other documents compressed afresh."""

from collections.abc import Iterable

from agent.delivery.contract import DeliveryBatch
from agent.form import Form
from agent.outputs.gzip import Piece, gzip_of, gzipped, piece_of, piece_of_frame
from agent.queue.frame import Frame, documents_in, ids_of


def body_of(batch: DeliveryBatch) -> list[bytes]:
    """The gzip member of a batch, as buffers to be sent one behind the other. Compresses only what does not lie in the
    queue as it is sent, and inflates no more than a frame of it at a time."""
    if not batch.frames:
        return [gzipped(bulk_lines(batch.ids(), batch.documents()))]
    return gzip_of(_piece(frame, body) for frame, body in zip(batch.frames, batch.bodies, strict=True))


def _piece(frame: Frame, body: bytes) -> Piece:
    if frame.form is Form.BULK:
        return piece_of_frame(frame, body)
    return piece_of(bulk_lines(ids_of(frame), documents_in(frame, body)))


def bulk_lines(ids: Iterable[str], documents: Iterable[bytes]) -> bytes:
    """Bulk-ready NDJSON for single documents, none of which holds a newline. The ids are record ids: they need no
    escaping.
    """
    pieces: list[bytes] = []
    for record, document in zip(ids, documents, strict=True):
        pieces += (b'{"create":{"_id":"', record.encode(), b'"}}\n', document, b"\n")
    return b"".join(pieces)
