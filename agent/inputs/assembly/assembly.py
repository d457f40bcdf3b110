"""One source's lines through its streams: a ``Cut`` of the source in, a ``Cut`` of events out, over the same bytes.

An event that is still open at the end of a cut is in none: it comes with a later one, or is let go by ``flush``. Where
it lies says ``open``, which a position stores (``agent/inputs/file/state.py``); a source that cannot be read again
loses what is open with whatever else it had not emitted.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from agent.inputs.assembly.config import Format, Multiline, MultilineConfig
from agent.inputs.assembly.formats import STREAMS, Decoded, decode
from agent.inputs.assembly.grammar import Alone, Known, Rules, Started
from agent.inputs.assembly.stream import LINE, Event, Limits, Line, Range, Stream
from agent.inputs.lines import At, Cut
from agent.values import quote

CONTAINER_LINE_BYTES = 256 * 1024
"""What a line of a container's log is read up to at least: a runtime cuts its content at 16 KiB, and docker's JSON may
write six bytes for one."""
MARK: Final = "labels.truncated"
UNKNOWN: Final = "labels.format"
_STREAM_TEXT: Final = {b"": b""} | {stream: b'"%b"' % stream for stream in STREAMS}


class Open(msgspec.Struct, frozen=True, array_like=True):
    """What one stream holds: the byte ranges of its lines in the source, as begin and length by turns; see ``Stream``
    for the rest."""

    stream: bytes
    began: str
    skipping: bool
    ranges: tuple[int, ...]

    def each(self) -> Iterable[Range]:
        """The ranges, as begin and end."""
        return ((begin, begin + length) for begin, length in zip(self.ranges[::2], self.ranges[1::2], strict=True))


class Joining(msgspec.Struct, frozen=True):
    """What the assemblies of one input share. ``raw_line`` is the limit of a line as it lies in the source, that of its
    content is among ``limits``."""

    form: Format
    rules: Rules
    limits: Limits
    flush_after_secs: float
    raw_line: int


def joining(form: Format, multiline: Multiline, max_line: int) -> Joining:
    """From an input's settings."""
    options = multiline if isinstance(multiline, MultilineConfig) else MultilineConfig()
    rules: Rules = Alone() if multiline == "none" else Known()
    if options.start is not None:
        rules = Started(options.start)
    limits = Limits(max_line, options.max_lines, options.max_bytes)
    raw_line = max_line if form == "plain" else max(max_line, CONTAINER_LINE_BYTES)
    return Joining(form, rules, limits, options.flush_after, raw_line)


class Assembly:
    """Of one source."""

    def __init__(self, settings: Joining) -> None:
        self._settings = settings
        self._streams: dict[bytes, Stream] = {}

    @property
    def due(self) -> float | None:
        """When something open will have waited long enough; None while nothing is open."""
        return min(
            (s.touched + self._settings.flush_after_secs for s in self._streams.values() if s.open), default=None
        )

    @property
    def open(self) -> tuple[Open, ...]:
        """What must be read again if this assembly ends here."""
        return tuple(
            Open(s.name, s.began if s.open else "", s.skipping, tuple(x for b, e in s.ranges() for x in (b, e - b)))
            for s in self._streams.values()
            if s.open or s.skipping
        )

    def resume(self, known: Open) -> None:
        """Take up a stream where ``open`` left it. Its ranges are then fed, in the source's order over all streams."""
        stream = self._stream(known.stream)
        stream.began, stream.skipping = known.began, known.skipping

    def feed(self, cut: Cut, now: float) -> Cut:
        """The events completed by these lines. ``now`` is monotonic seconds."""
        if not cut.lines:
            return cut
        if self._settings.form == "plain":
            return self._plain(cut, now)
        records = decode(cut.lines, self._settings.form)
        unfinished = cut.truncated or cut.at is At.LATE_END
        if not unfinished and self._nothing_to_join(records):
            return self._described(cut, records.contents, cut.starts, records.streams, records.times)
        events: list[Event] = []
        last = len(cut.lines) - 1
        for at, (content, name, time, whole) in enumerate(zip(*records, strict=True)):
            begin, end = cut.starts[at], cut.starts[at + 1] if at < last else cut.end
            if not whole and end - begin == len(cut.lines[at]) + len(b"\r\n") and not cut.lines[at].startswith(b"{"):
                content += b"\r"  # of the content: the line goes on in another piece
            line, stream = Line(content, time, ((begin, end),)), self._stream(name)
            if at == last and unfinished:
                events += stream.finish(line, now, LINE if cut.truncated else "", whole=whole)
            else:
                events += stream.take(line, now, whole=whole)
        return self._of_events(cut, events)

    def flush(self, position: int, now: float | None = None) -> Cut:
        """What is open and has waited long enough at ``now``; everything without it. ``position`` is where reading
        stands."""
        waiting = [
            stream
            for stream in self._streams.values()
            if stream.open and (now is None or now >= stream.touched + self._settings.flush_after_secs)
        ]
        events = [event for stream in sorted(waiting, key=Stream.ranges) for event in stream.close()]
        return self._of_events(Cut([], [], position, position), events)

    def _stream(self, name: bytes) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream(name, self._settings.rules, self._settings.limits)
        return stream

    def _plain(self, cut: Cut, now: float) -> Cut:
        """Lines as they are: most have nothing to join."""
        stream = self._stream(b"")
        unfinished = cut.truncated or cut.at is At.LATE_END
        if not stream.open and self._settings.rules.nothing_in(cut.lines):
            phase = self._settings.rules.first(cut.lines[-1])
            if phase is None or unfinished:
                return cut
            # Only the last may be the beginning of something.
            stream.hold(phase, Line(cut.lines[-1], b"", ((cut.starts[-1], cut.end),)), now)
            return msgspec.structs.replace(cut, lines=cut.lines[:-1], starts=cut.starts[:-1])
        events: list[Event] = []
        ranges = list(zip(cut.starts, [*cut.starts[1:], cut.end], strict=True))
        last = len(ranges) - 1
        for at, (text, where) in enumerate(zip(cut.lines, ranges, strict=True)):
            line = Line(text, b"", (where,))
            if at == last and unfinished:
                events += stream.finish(line, now, LINE if cut.truncated else "", whole=True)
            else:
                events += stream.take(line, now, whole=True)
        return self._of_events(cut, events)

    def _nothing_to_join(self, records: Decoded) -> bool:
        """Whether every record is an event, and none may be the beginning of a longer one."""
        if not all(records.whole) or max(map(len, records.contents)) > self._settings.limits.max_line:
            return False
        if any(stream.open or stream.skipping for stream in self._streams.values()):
            return False
        if not self._settings.rules.nothing_in(records.contents):
            return False
        last_of = dict(zip(records.streams, records.contents, strict=True))
        return all(self._settings.rules.first(content) is None for content in last_of.values())

    def _of_events(self, cut: Cut, events: Sequence[Event]) -> Cut:
        made = self._described(
            cut,
            [event.text for event in events],
            [event.start for event in events],
            [event.stream for event in events],
            [event.time for event in events],
        )
        if any(event.cut for event in events):
            made.sparse[MARK] = [quote(event.cut) if event.cut else b"" for event in events]
            made.noted["truncated"] = sum(1 for event in events if event.cut)
        return made

    def _described(
        self,
        cut: Cut,
        texts: Sequence[bytes],
        starts: Sequence[int],
        streams: Sequence[bytes],
        times: Sequence[bytes],
    ) -> Cut:
        """A cut of these events over the bytes of ``cut``, with what is known of them."""
        made = Cut(list(texts), list(starts), cut.begin, cut.end, cut.at, blocks=b"\n" in b"".join(texts))
        if self._settings.form == "plain" or not texts:
            return made
        if any(streams):
            made.sparse = {"@timestamp": list(times), "log.iostream": list(map(_STREAM_TEXT.__getitem__, streams))}
        if self._settings.form != "auto" and b"" in streams:
            made.sparse[UNKNOWN] = [b"" if stream else b'"unknown"' for stream in streams]
            made.noted["unknown_format"] = len(streams) - sum(map(bool, streams))
        return made
