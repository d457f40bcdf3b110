"""The documents in a queue as lines, oldest first. Blocking; writes nothing to the queue; memory is one group."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from agent.queue.cursor import Cursor
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Frame, documents_in, ids_of
from agent.queue.span import Span
from agent.queue.verify import Finding
from agent.queue.walk import Contradiction, Entered, Good, Unfinished, Walk

_encode = msgspec.json.Encoder().encode


class Exported(msgspec.Struct):
    """``records`` were written; ``findings`` places were damaged, missing or wrong and are not among them."""

    records: int = 0
    findings: int = 0


def export(
    disk: Disk,
    folder: Path,
    write: Callable[[bytes], object],
    tell: Callable[[Finding], None],
    *,
    not_done_by: Cursor | None,
    span: Span,
    with_ids: bool,
) -> Exported:
    """Give each document to ``write``, one or more whole lines at a time. With ``not_done_by`` only those that cursor
    is not through with. ``tell`` gets what is skipped. Raises what ``write`` raises."""
    exported = Exported()
    for piece in Walk(disk, folder):
        match piece:
            case Good(repeat=False):
                frame = piece.stored.frame
                if not frame.count or (not_done_by is not None and not_done_by.is_done(frame.seq)):
                    continue
                try:
                    documents = documents_in(frame, piece.stored.body)
                except Damaged as damage:
                    exported.findings += 1
                    tell(Contradiction(piece.name.text, frame.offset, damage.reason))
                    continue
                chosen = range(len(documents))
                picked = [i for i in chosen if span.is_everything or span.picks(documents[i])]
                if picked:
                    ids = ids_of(frame) if with_ids else []
                    lines = (_line(frame, ids[i], documents[i]) if ids else documents[i] for i in picked)
                    write(b"\n".join(lines) + b"\n")
                    exported.records += len(picked)
            case Entered() | Good() | Unfinished():
                pass
            case finding:
                exported.findings += 1
                tell(finding)
    return exported


def _line(frame: Frame, record: str, document: bytes) -> bytes:
    return b'{"id":%b,"stream":%b,"document":%b}' % (_encode(record), _encode(frame.stream), document)
