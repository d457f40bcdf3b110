"""Bytes of a source through an assembly: cut into reads anywhere, ended anywhere, taken up again as after a restart."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from agent.inputs.assembly.assembly import Assembly, Open, joining
from agent.inputs.assembly.config import Format, Multiline
from agent.inputs.lines import At, Cut, cut


class Told(NamedTuple):
    """An event as a record would have it."""

    text: bytes
    start: int
    stream: bytes
    time: bytes
    mark: bytes


def told(made: Cut) -> list[Told]:
    """The events of a cut."""
    nothing = [b""] * len(made.lines)
    said = [made.sparse.get(place, nothing) for place in ("log.iostream", "@timestamp", "labels.truncated")]
    return [Told(*event) for event in zip(made.lines, made.starts, *said, strict=True)]


def new(form: Format = "plain", multiline: Multiline = "auto", max_line: int = 4096) -> Assembly:
    """An assembly with nothing open."""
    return Assembly(joining(form, multiline, max_line))


class Reading:
    """A source that is read, and its position: how far, and what is open. ``restart`` forgets everything else."""

    def __init__(self, form: Format = "plain", multiline: Multiline = "auto", max_line: int = 4096) -> None:
        self.events: list[Told] = []
        self._settings = (form, multiline, max_line)
        self._assembly = new(*self._settings)
        self._raw_line = joining(*self._settings).raw_line
        self._data = b""
        self._offset = 0
        self._at = At.LINE

    @property
    def open(self) -> tuple[Open, ...]:
        """What the position says of open events."""
        return self._assembly.open

    def write(self, data: bytes) -> None:
        """More of the source, read as far as its lines are finished."""
        self._data += data
        rest = self._data[self._offset :]
        for piece in cut(rest, self._offset, self._at, self._raw_line):
            self._feed(piece)

    def restart(self) -> None:
        """A new process, which knows the position and can read the source again."""
        known = self._assembly.open
        self._assembly = new(*self._settings)
        for each in known:
            self._assembly.resume(each)
        for begin, end in sorted(where for each in known for where in each.each()):
            for piece in cut(self._data[begin:end], begin, At.LINE, self._raw_line):
                made = self._assembly.feed(piece, 0.0)
                assert made.lines == [], "read again, what is open is open"
        assert self._assembly.open == known

    def flush(self) -> None:
        """Nothing came for a long time."""
        self.events += told(self._assembly.flush(self._offset, None))
        assert self._assembly.due is None

    def end(self) -> list[Told]:
        """The events so far, an unfinished last line and what is open included."""
        for piece in cut(self._data[self._offset :], self._offset, self._at, self._raw_line, ended=True):
            self._feed(piece)
        self.flush()
        return self.events

    def _feed(self, piece: Cut) -> None:
        self.events += told(self._assembly.feed(piece, 0.0))
        self._offset, self._at = piece.end, piece.at


def pieces_of(data: bytes, places: Iterable[int]) -> Sequence[bytes]:
    """The data cut at these places."""
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[begin:end] for begin, end in pairwise(bounds)]
