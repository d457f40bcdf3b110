"""One stream of one source: pieces joined to lines, lines to events. Pure; what time it is comes with each line.

What is open is described by where it lies in the source, so that it can be read again after a restart: fed the same
lines, a new stream is in the same state. Two things cannot be told from the lines: the phase in which the second part
of an event that was cut begins (``began``), and that the rest of a line cut at its limit is to be skipped
(``skipping``).
"""

from collections.abc import Iterator, Sequence

import msgspec

from agent.inputs.assembly.grammar import Rules
from agent.inputs.lines import shortened

MAX_RANGES = 256
"""In how many pieces of the source one open event may lie, where another stream's lines lie in between. It bounds the
stored position; an event in more pieces is cut."""
MAX_BLANKS = 2
"""Blank lines in a row within one event."""
BLOCK = "block"
REST = "rest"
LINE = "line"

Range = tuple[int, int]


class Limits(msgspec.Struct, frozen=True):
    """What one event holds at most. ``max_line`` is for a line joined of pieces, the others for an event."""

    max_line: int
    max_lines: int
    max_bytes: int


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line or a piece of one, ``time`` as JSON text or empty, and where it lies in the source."""

    text: bytes
    time: bytes
    ranges: tuple[Range, ...]


class Event(msgspec.Struct, gc=False):
    """What becomes a record. ``cut``: only a part (``LINE``: of a line; ``BLOCK``: the first of a block; ``REST``: a
    later one of a block)."""

    stream: bytes
    text: bytes
    time: bytes
    start: int
    cut: str = ""


class Stream:
    """Feed it with ``take``, end it with ``close``; both give the events that are complete, in order."""

    def __init__(self, name: bytes, rules: Rules, limits: Limits) -> None:
        self.name = name
        self.skipping = False
        self.touched = 0.0
        """When the last line came that is still open."""
        self._rules = rules
        self._limits = limits
        self._pieces: list[Line] = []
        self._piece_bytes = 0
        self._lines: list[Line] = []
        self._ranges = 0
        self._bytes = 0
        self._phase: str | None = None
        self._began: str | None = None
        self._blanks = 0

    @property
    def open(self) -> bool:
        """Whether anything waits for more."""
        return bool(self._lines or self._pieces)

    @property
    def began(self) -> str:
        """The phase before the first open line, if that is not the beginning of its event."""
        return self._began or ""

    @began.setter
    def began(self, phase: str) -> None:
        self._began = self._phase = phase or None

    def ranges(self) -> list[Range]:
        """Where what is open lies, in order, what touches in one."""
        return merged(r for line in (*self._lines, *self._pieces) for r in line.ranges)

    def take(self, line: Line, now: float, *, whole: bool) -> Iterator[Event]:
        """One more line or piece. ``whole``: it ends its line."""
        self.touched = now
        if self.skipping:
            self.skipping = not whole
            return
        if whole and not self._pieces and len(line.text) <= self._limits.max_line:
            yield from self._add(line)
            return
        self._pieces.append(line)
        self._piece_bytes += len(line.text)
        scattered = len(self._pieces) > MAX_RANGES and len(self._in_pieces()) > MAX_RANGES
        if scattered or self._piece_bytes > self._limits.max_line:
            self.skipping = not whole
            yield from self._last(LINE)
        elif whole:
            yield from self._add(self._joined_pieces())

    def finish(self, line: Line, now: float, cut: str = "", *, whole: bool) -> Iterator[Event]:
        """A line or piece after which nothing is left open, because where it ends cannot be told from the source."""
        if self.skipping:
            yield from self.take(line, now, whole=whole)
            return
        self._pieces.append(line)
        yield from self._last(cut)

    def close(self) -> Iterator[Event]:
        """Nothing more is expected, or was waited for long enough."""
        if self._pieces:
            yield from self._add(self._joined_pieces())
        yield from self._end()

    def hold(self, phase: str, line: Line, now: float) -> None:
        """Take a line of which the phase is known already; nothing is open."""
        self.touched = now
        self._hold(phase, line)

    def _hold(self, phase: str, line: Line) -> None:
        self._lines, self._phase = [line], phase
        self._bytes, self._ranges = len(line.text), len(line.ranges)

    def _in_pieces(self) -> list[Range]:
        return merged(r for piece in self._pieces for r in piece.ranges)

    def _joined_pieces(self) -> Line:
        text = b"".join(piece.text for piece in self._pieces)
        if len(text) > self._limits.max_line:
            text = shortened(text, self._limits.max_line)
        line = Line(text, self._pieces[0].time, tuple(self._in_pieces()))
        self._pieces, self._piece_bytes = [], 0
        return line

    def _last(self, cut: str) -> Iterator[Event]:
        yield from self._add(self._joined_pieces(), cut)
        yield from self._end(cut)

    def _add(self, line: Line, cut: str = "") -> Iterator[Event]:
        if self._phase is not None:
            blank = not line.text.strip()
            phase = None if blank and self._blanks >= MAX_BLANKS else self._rules.then(self._phase, line.text)
            if phase is not None:
                if self._lines and not self._fits(line):
                    began = self._phase
                    yield self._event(self._lines, REST if self._began else BLOCK)
                    self._lines, self._bytes, self._ranges, self._blanks, self._began = [], 0, 0, 0, began
                self._lines.append(line)
                self._bytes += len(line.text) + 1
                self._ranges += len(line.ranges)
                self._phase = phase
                self._blanks = self._blanks + 1 if blank else 0
                return
            yield from self._end()
        phase = self._rules.first(line.text)
        if phase is None:
            yield self._event([line], cut)
        else:
            self._hold(phase, line)

    def _fits(self, line: Line) -> bool:
        limits = self._limits
        if len(self._lines) >= limits.max_lines or self._bytes + len(line.text) > limits.max_bytes:
            return False
        return self._ranges < MAX_RANGES or len(self.ranges()) < MAX_RANGES

    def _end(self, cut: str = "") -> Iterator[Event]:
        lines, rest = self._lines, REST if self._began else ""
        self._lines, self._bytes, self._ranges, self._blanks = [], 0, 0, 0
        self._phase = self._began = None
        kept = len(lines)
        while kept > 1 and not lines[kept - 1].text.strip():
            kept -= 1  # blank lines belong to a block only if something of it follows
        if lines:
            yield self._event(lines[:kept], cut or rest)
        for line in lines[kept:]:
            yield self._event([line])

    def _event(self, lines: Sequence[Line], cut: str = "") -> Event:
        first = lines[0]
        text = first.text if len(lines) == 1 else b"\n".join(line.text for line in lines)
        return Event(self.name, text, first.time, first.ranges[0][0], cut)


def merged(ranges: Iterator[Range]) -> list[Range]:
    """The ranges with what touches in one."""
    found: list[Range] = []
    for begin, end in ranges:
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found
