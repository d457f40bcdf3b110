"""What takes lines apart, and how what it finds reaches the document."""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from agent.processors.normalise.clock import ASSUMED
from agent.processors.normalise.kinds import Keyword
from agent.processors.normalise.spellings import Rule, rules
from agent.processors.normalise.times import Moment, zone_of
from agent.processors.normalise.tolerant import Record
from agent.processors.parse.config import ParseOptions
from agent.processors.parse.formats import TimeFormat
from agent.processors.parse.typed import Typed, typed
from agent.values import is_string, quote, unquote

Way = Callable[[str, int], Record | None]
"""One way to take a line apart: the text and the time it was read (nanoseconds) to a flat record, None if the line is
written otherwise."""

LINE: Final = "line"
"""The key of the whole line, where it cannot be rebuilt from its parts."""

_MESSAGES: Final = frozenset(key for key, rule in rules(None).items() if rule.place == "message")

# Keys no line can have: a control character makes no key. What is under them is in the document's words already.
_TIME: Final = "\0time"
_ZONE: Final = "\0zone"


def put_time(record: Record, moment: Moment) -> None:
    """Give a record its time."""
    record[_TIME] = quote(moment.text)
    if moment.assumed:
        record[_ZONE] = ASSUMED


def keep_line(record: Record, text: str) -> None:
    """Keep a line whose parts do not give it back: as the message, where no part is that."""
    record["message" if _MESSAGES.isdisjoint(record) else LINE] = quote(text)


class Parser:
    """Tries ways in turn. ``marks``: a line that fits none of them is marked; it should have."""

    def __init__(self, ways: Sequence[Way], *, marks: bool) -> None:
        self._ways = tuple(ways)
        self.marks = marks

    def rules(self, zone: tzinfo | None) -> Mapping[str, Rule]:
        """The table of names for records made here: that of every record, and the time a way has read itself."""
        return {
            **rules(zone),
            _TIME: Rule(Keyword("@timestamp"), -1),
            _ZONE: Rule(Keyword("labels.timezone"), -1),
        }

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The record a line is, None if it fits no way."""
        for way in self._ways:
            record = way(text, read_at_ns)
            if record is not None:
                return record
        return None


class Parts:
    """Names, types and time of the parts of a line, as the operator set them."""

    def __init__(self, options: ParseOptions, zone: tzinfo | None) -> None:
        self._options = options
        self._known: dict[str, tuple[str, Typed]] = {}
        self._time = options.time and _Time(options, options.time.format, zone)

    def of(self, name: str) -> tuple[str, Typed]:
        """The key of a part, and how its value is read."""
        known = self._known.get(name)
        if known is None:
            key = self._options.rename.get(name, name)
            known = key, typed(key, self._options.types.get(name))
            if len(self._known) < _MAX_KNOWN:
                self._known[name] = known
        return known

    def finish(self, record: Record, read_at_ns: int) -> Record:
        """The record with its time read."""
        if self._time:
            self._time.read(record, read_at_ns)
        return record


_MAX_KNOWN: Final = 1024


class _Time:
    def __init__(self, options: ParseOptions, formats: Sequence[str], zone: tzinfo | None) -> None:
        assert options.time is not None
        self._key = options.rename.get(options.time.field, options.time.field)
        self._formats = tuple(map(TimeFormat, formats))
        self._zone = zone_of(options.time.timezone) if options.time.timezone else zone

    def read(self, record: Record, read_at_ns: int) -> None:
        written = bytes(record.get(self._key, b""))
        text = unquote(written) if is_string(written) else written.decode()
        for form in self._formats:
            if moment := form.read(text, self._zone, read_at_ns):
                put_time(record, moment)
                return
