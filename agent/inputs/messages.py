"""Messages to lines: what came over a socket, read by its format.

=========== ========================================================================================
``lines``   lines, JSON or text; a datagram may hold several
``syslog``  one syslog message (`agent.inputs.syslog`)
``gelf``    one GELF message (`agent.inputs.gelf`), compressed or plain
``auto``    told from the first byte: ``<`` is syslog, a compressed message or an object with a
            ``short_message`` is GELF, everything else is lines
=========== ========================================================================================

A message that is not of its format is a line as it stands. What cannot be read at all is counted and dropped.
"""

from collections.abc import Mapping
from datetime import tzinfo

from agent.inputs.gelf import Broken, inflate, is_compressed, read_gelf
from agent.inputs.line_batch import TRUNCATED
from agent.inputs.lines import At, cut, shortened
from agent.inputs.socket_options import Format
from agent.inputs.syslog import read_syslog
from agent.processors.normalise.text import FAILED
from agent.values import on_one_line

Facts = Mapping[str, bytes]
"""What is known of a line beside itself: JSON text by place."""

NOTHING: Facts = {}
CUT_BY_KERNEL: Facts = {"labels.truncated": b'"datagram"'}
"""The mark on a datagram larger than what we read of one."""
TORN: Facts = {"labels.truncated": b'"connection"'}
"""The mark on what a connection left unfinished when it broke."""
NOT_SYSLOG: Facts = {"labels.parse": FAILED}


class Lines:
    """Lines and what is known of each; counts of those that are none."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.facts: list[Facts] = []
        self.dropped: dict[str, int] = {}
        self.noted: dict[str, int] = {}

    def add(self, line: bytes, facts: Facts) -> None:
        """One line."""
        self.lines.append(line)
        self.facts.append(facts)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that went no further."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def note(self, mark: str, count: int = 1) -> None:
        """Count messages that are marked."""
        self.noted[mark] = self.noted.get(mark, 0) + count


class MessageReader:
    """Reads the messages of one input. ``zone`` is what times without one are in; a message may be ``max_line`` bytes
    long, also when inflated."""

    def __init__(self, format: Format, zone: tzinfo | None, max_line: int) -> None:
        self._format = format
        self._zone = zone
        self._max = max_line

    def read(self, messages: list[bytes], facts: Facts, now_ns: int, into: Lines) -> None:
        """Add the messages' lines. ``facts`` are what is known of all of them; ``now_ns`` is when they came."""
        if self._format == "auto":
            for message in messages:
                # The order is that of how often, and of what it costs to ask.
                first = message[:1]
                if first == b"<":
                    self._syslog(message, facts, now_ns, into)
                elif (first in (b"\x1f", b"x") and is_compressed(message)) or (
                    first == b"{" and b'"short_message"' in message
                ):
                    self._gelf(message, facts, into)
                else:
                    self._lines(message, facts, into)
        elif self._format == "syslog":
            for message in messages:
                self._syslog(message, facts, now_ns, into)
        elif self._format == "gelf":
            for message in messages:
                self._gelf(message, facts, into)
        else:
            for message in messages:
                self._lines(message, facts, into)

    def _lines(self, message: bytes, facts: Facts, into: Lines) -> None:
        if b"\n" not in message and len(message) <= self._max and not message.endswith(b"\r"):
            into.lines.append(message)
            into.facts.append(facts)
            return
        for part in cut(message, 0, At.LINE, self._max, ended=True):
            known = facts
            if part.truncated:
                known = {**facts, **TRUNCATED}
                into.note("truncated")
            into.lines += part.lines
            into.facts += [known] * len(part.lines)

    def _syslog(self, message: bytes, facts: Facts, now_ns: int, into: Lines) -> None:
        said = read_syslog(message, self._zone, now_ns)
        if said is not None:
            self._block(said.message, {**said.places, **facts} if facts else said.places, into)
        elif self._format == "syslog":
            into.note("parse_failed")
            self._block(message.rstrip(b"\0\r\n"), {**facts, **NOT_SYSLOG}, into)
        else:
            self._lines(message, facts, into)

    def _gelf(self, message: bytes, facts: Facts, into: Lines) -> None:
        if is_compressed(message):
            try:
                message = inflate(message, self._max)
            except Broken as broken:
                into.drop(broken.reason)
                return
        line = read_gelf(message)
        self._block(message if line is None else line, facts, into)

    def _block(self, message: bytes, facts: Facts, into: Lines) -> None:
        """A message that is one record, also where it holds line ends."""
        if b"\n" in message and message.lstrip().startswith(b"{"):
            message = on_one_line(message)
        if len(message) > self._max:
            message = shortened(message, self._max)
            facts = {**facts, **TRUNCATED}
            into.note("truncated")
        into.add(message, facts)
