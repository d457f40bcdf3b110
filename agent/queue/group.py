"""What one append writes: batches that waited together, as frames in a row."""

import msgspec

from agent.form import Form, packed
from agent.queue import frame as frames
from agent.queue.frame import ALONE_BYTES, Frame, Meta, Part, Stored, flags_of
from agent.record import Counts, Documents, Origin

FRAME_BYTES = 4 * 1024**2
"""Documents of one data stream are cut into frames of about this many bytes, uncompressed."""


class Entry(msgspec.Struct):
    """What one batch adds to the queue: its documents by data stream, the position behind it, and what it counted."""

    input: str
    documents: list[Documents]
    origin: Origin | None
    counts: Counts

    @property
    def raw_bytes(self) -> int:
        """Bytes of the documents, uncompressed; they never take more than this on disk."""
        return sum(len(d.lines) for d in self.documents)


class Group(msgspec.Struct):
    """Frames ready to be written. ``frames`` are buffers whose first is the sync mark of the segment they go to.
    ``stored`` are the same frames as a reader would give them. ``base`` is the first sequence number; ``seq`` and
    ``total`` are the queue's behind the group, and ``origins`` and ``counts`` what it moves."""

    frames: list[list[bytes]]
    stored: list[Stored]
    base: int
    seq: int
    total: int
    origins: list[Origin]
    counts: dict[str, Counts]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(len(buffer) for frame in self.frames for buffer in frame)

    def buffers(self, mark: bytes) -> list[bytes]:
        """All bytes of the group, for a segment with this mark."""
        out: list[bytes] = []
        for _, *rest in self.frames:
            out.append(mark)
            out += rest
        return out


def encode_group(
    run: str, seq: int, total: int, entries: list[Entry], counts: dict[str, Counts], durable: int = 0
) -> Group:
    """The entries as a group behind ``seq`` and ``total``. ``counts`` are the cumulative ones with these entries,
    ``durable`` is the last frame known to be durable. Deflates: takes its time."""
    by_source = {(e.origin.input, e.origin.source): e.origin for e in entries if e.origin is not None}
    origins = list(by_source.values())
    pieces = _cut(entries) or [[]]
    base = seq + 1
    encoded: list[list[bytes]] = []
    stored: list[Stored] = []
    for i, documents in enumerate(pieces):
        raw_len, body, raw_check = _body(documents)
        last = i == len(pieces) - 1
        meta = Meta(
            run=run,
            stream=documents[0].stream if documents else "",
            parts=[Part(d.batch, d.first, d.count) for d in documents],
            origins=origins if last else [],
            counts=counts if last else {},
            durable=durable if last else 0,
            hour=documents[0].hour if len({d.hour for d in documents}) == 1 else "",
        )
        seq += 1
        frame = Frame(
            seq=seq,
            total=total,
            count=sum(d.count for d in documents),
            raw_len=raw_len,
            raw_check=raw_check,
            flags=flags_of(documents[0].form if documents else Form.BULK, more=not last),
            meta=meta,
            body_len=len(body),
        )
        encoded.append(frames.encode(b"", frame, body))
        stored.append(Stored(frame, body))
        total += frame.count
    return Group(encoded, stored, base, seq, total, origins, counts)


def deflate_large(entry: Entry) -> None:
    """Deflate those of an entry's documents that will have a frame of their own.

    Done where they were rendered, while they still lie in that processor's cache. What is small is left to
    ``encode_group``, which deflates it with its neighbours.
    """
    for documents in entry.documents:
        if len(documents.lines) >= ALONE_BYTES:
            documents.deflated = _deflated(documents.form, documents.lines)


def _body(piece: list[Documents]) -> tuple[int, bytes, int]:
    """Of a frame with these documents: the length of its text, the body, and the check."""
    if len(piece) == 1 and piece[0].deflated is not None:
        return piece[0].deflated
    lines = b"".join(d.lines for d in piece)
    return _deflated(piece[0].form, lines) if lines else (0, b"", 0)


def _deflated(form: Form, lines: bytes) -> tuple[int, bytes, int]:
    text = packed(form, lines)
    return (len(text), *frames.deflate(text, form))


def _cut(entries: list[Entry]) -> list[list[Documents]]:
    """The documents of all entries by data stream and form, in pieces of about ``FRAME_BYTES``."""
    by_stream: dict[tuple[str, Form], list[Documents]] = {}
    for entry in entries:
        for documents in entry.documents:
            by_stream.setdefault((documents.stream, documents.form), []).append(documents)
    pieces: list[list[Documents]] = []
    for documents_list in by_stream.values():
        size = 0
        piece: list[Documents] = []
        for documents in documents_list:
            if piece and (documents.deflated or piece[-1].deflated or size + len(documents.lines) > FRAME_BYTES):
                pieces.append(piece)
                piece, size = [], 0
            piece.append(documents)
            size += len(documents.lines)
        pieces.append(piece)
    return pieces
