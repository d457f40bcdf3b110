"""A batch, sorted into the objects it makes: one for each run and each hour of its events. No input or output.

Nearly always all of a frame lies in one hour. A frame of documents that says so, and is not small, goes into the
object as it lies in the queue. Where the queue keeps the records for bulks, one regular expression says so and takes
the action lines out in the same pass: when it replaced as many as the frame has records, every document begins with
that hour. Else the frame is looked at record by record. A frame is inflated, taken apart and compressed before the next
one is.

What waits to be compressed with its neighbours is at most ``_FLUSH_BYTES`` an object, so that a batch whose records lie
in thousands of hours takes no more memory than another.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from agent.delivery.contract import DeliveryBatch
from agent.form import Form, documents
from agent.outputs.gzip import Piece, gzip_of, piece_of, piece_of_frame
from agent.outputs.s3.name import HOUR_CHARS, Span, read_id
from agent.queue.frame import Frame, inflate

_FLUSH_BYTES: Final = 512 * 1024
_RUN_MILLIS_DIGITS: Final = 12

_first_time: Final = re.compile(rb'[^\n]*\n\{"@timestamp":"(\d{4}-\d\d-\d\dT\d\d):').match
_time: Final = re.compile(
    rb'\{"@timestamp":"(\d{4}-\d\d-\d\dT\d\d:\d\d):\d\d(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)"', re.ASCII
).match


class Pile:
    """The records of one run whose events lie in one hour."""

    def __init__(self, run: str, hour: str, compresses: bool) -> None:
        self.run = run
        self.hour = hour
        self.spans: list[Span] = []
        self._compresses = compresses
        self._lines: list[bytes] = []
        self._waiting = 0
        self._pieces: list[Piece] = []

    @property
    def count(self) -> int:
        """How many records it has."""
        return sum(span.records for span in self.spans)

    def add(self, lines: bytes, spans: Sequence[Span]) -> None:
        """Add documents, each ended by a newline, and whose they are."""
        self.spans += spans
        self._lines.append(lines)
        self._waiting += len(lines)
        if self._compresses and self._waiting >= _FLUSH_BYTES:
            self._flush()

    def add_compressed(self, piece: Piece, spans: Sequence[Span]) -> None:
        """Add documents as they lie in the queue, to a pile that compresses."""
        self.spans += spans
        self._flush()
        self._pieces.append(piece)

    def _flush(self) -> None:
        if self._lines:
            self._pieces.append(piece_of(b"".join(self._lines)))
            self._lines.clear()
            self._waiting = 0

    def gzip(self) -> bytes:
        """All lines, compressed."""
        self._flush()
        return b"".join(gzip_of(self._pieces))

    def documents(self) -> list[bytes]:
        """The documents, of a pile that does not compress."""
        return b"".join(self._lines).split(b"\n")[:-1]


def pile_up(batch: DeliveryBatch, compresses: bool) -> list[Pile]:
    """The objects of a batch, in order of their first record. Every record is in exactly one, and in which hour does
    not depend on the records around it."""
    piles: dict[tuple[str, str], Pile] = {}

    def pile(run: str, hour: str) -> Pile:
        found = piles.get((run, hour))
        if found is None:
            found = piles[run, hour] = Pile(run, hour, compresses)
        return found

    if not batch.frames:
        for record, document in zip(batch.ids(), batch.documents(), strict=True):
            run, number, index = read_id(record)
            pile(run, hour_of(document, run)).add(document + b"\n", [Span(number, index, 1)])
        return list(piles.values())
    for frame, body in zip(batch.frames, batch.bodies, strict=True):
        spans = [Span(part.batch, part.first, part.count) for part in frame.parts]
        if compresses and frame.form is Form.NDJSON and frame.hour and not frame.is_small:
            pile(frame.run, frame.hour).add_compressed(piece_of_frame(frame, body), spans)
            continue
        text = inflate(frame, body)
        hour, lines = _in_one_hour(frame, text)
        if hour:
            pile(frame.run, hour).add(lines, spans)
            continue
        for span, document in zip(_records(frame), documents(frame.form, text), strict=True):
            pile(frame.run, hour_of(document, frame.run)).add(document + b"\n", [span])
    return list(piles.values())


def _in_one_hour(frame: Frame, text: bytes) -> tuple[str, bytes]:
    """The hour in which all records of a frame lie, and their documents as lines; empty when there is no telling."""
    if frame.form is Form.NDJSON:
        return frame.hour, text
    first = _first_time(text) if frame.form is Form.BULK else None
    if first is not None:
        lines, in_hour = _action_lines_before(first[1]).subn(b"", text)
        if in_hour == frame.count:
            return first[1].decode(), lines
    return "", b""


@lru_cache(maxsize=8)
def _action_lines_before(hour: bytes) -> re.Pattern[bytes]:
    """An action line whose document's event lies in this hour. What looks like one within a document is not: behind a
    document's end there is an action line, and no document."""
    return re.compile(rb'\{"create":.*\n(?=\{"@timestamp":"' + re.escape(hour) + rb':[0-9:.]*Z")')


def _records(frame: Frame) -> Iterable[Span]:
    return (Span(part.batch, part.first + i, 1) for part in frame.parts for i in range(part.count))


def hour_of(document: bytes, run: str) -> str:
    """The hour of a document's event in UTC, as ``2026-11-22T10``. A document without a time that can be read has the
    hour in which its run began."""
    found = _time(document)
    if found is not None and found[2] == b"Z":
        return found[1][:HOUR_CHARS].decode()
    try:
        if found is not None:
            moment = datetime.fromisoformat((found[1] + found[2]).decode()).astimezone(UTC)
        else:
            moment = datetime.fromtimestamp(int(run[:_RUN_MILLIS_DIGITS], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return f"{moment:%Y-%m-%dT%H}" if moment.year >= 1000 else "1970-01-01T00"
