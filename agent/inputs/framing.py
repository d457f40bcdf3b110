"""Messages out of a stream of bytes: where one ends and the next begins.

=============== ====================================================================================
``newline``     a message ends at ``\\n``; one ``\\r`` before it belongs to the end
``nul``         a message ends at a zero byte (GELF over TCP, Python's ``SysLogHandler``)
``octet-counted`` its length in digits, a space, the message (RFC 6587, section 3.4.1; RFC 5425). What does
                not begin with a length ends at ``\\n``, as in section 3.4.2: some senders mix them
``auto``        told from the first bytes of the connection: a length before a ``<`` is counted; what begins
                with ``<`` or ``{`` ends at whichever of ``\\n`` and the zero byte comes first; all else is lines
=============== ====================================================================================

Pure: bytes in, messages out. A framer holds one unfinished message and no more of it than the limit: a longer one
is cut, its rest skipped without being held.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent.inputs.lines import room_for_line, shortened
from agent.inputs.socket_options import Framing

_COUNTED_SYSLOG = re.compile(rb"[1-9]\d{0,8} <")
_PERHAPS_COUNTED = re.compile(rb"[1-9]\d{0,8} ?")
_LENGTH = re.compile(rb"([1-9]\d{0,8}) ")
_PERHAPS_LENGTH = re.compile(rb"[1-9]\d{0,8}")


class Framed(NamedTuple):
    """Messages in their order. ``cut``: only the first part of each is here."""

    messages: list[bytes]
    cut: bool = False


class Framer(Protocol):
    """Takes a stream apart."""

    @property
    def held(self) -> int:
        """Bytes of the unfinished message."""
        ...

    def feed(self, data: bytes) -> list[Framed]:
        """The messages finished by ``data``, and those cut for their length."""
        ...

    def give_up(self) -> bytes:
        """The unfinished message as far as it is here; its rest will be skipped. Empty when there is none."""
        ...

    def end(self) -> Framed:
        """What is left when nothing more comes: a last message need not have its end, but must have its length."""
        ...


def framer(framing: Framing, max_message: int) -> Framer:
    """A framer for one connection."""
    match framing:
        case "newline":
            return _Delimited(b"\n", max_message)
        case "nul":
            return _Delimited(b"\0", max_message)
        case "octet-counted":
            return _Counted(max_message)
        case "auto":
            return _Undecided(max_message)


class _Delimited:
    """Messages that end at a byte."""

    def __init__(self, end: bytes, max_message: int) -> None:
        self.held = 0
        self._end = end
        self._max = max_message
        self._parts: list[bytes] = []
        self._skipping = False

    def feed(self, data: bytes) -> list[Framed]:
        if self._skipping:
            _, found, data = data.partition(self._end)
            if not found:
                return []
            self._skipping = False
        self._parts.append(data)
        self.held += len(data)
        framed = []
        # Joined only when there is an end, or a message in a thousand pieces would be copied a thousand times.
        if self._end in data:
            *whole, rest = b"".join(self._parts).split(self._end)
            self._parts, self.held = [rest], len(rest)
            framed = _within(self._without_cr(whole), self._max)
        if self.held >= room_for_line(self._max):
            framed.append(Framed([shortened(self.give_up(), self._max)], cut=True))
        return framed

    def give_up(self) -> bytes:
        message = b"".join(self._parts)
        self._skipping = self._skipping or bool(message)
        self._parts, self.held = [], 0
        return message

    def end(self) -> Framed:
        rest = self._without_cr([self.give_up()] if self.held else [])
        return _within(rest, self._max)[0] if rest else Framed([])

    def _without_cr(self, messages: list[bytes]) -> list[bytes]:
        if self._end != b"\n":
            return messages
        return [m[:-1] if m.endswith(b"\r") else m for m in messages]


class _Counted:
    """Messages behind their length; lines where there is no length."""

    def __init__(self, max_message: int) -> None:
        self.held = 0
        self._max = max_message
        self._parts: list[bytes] = []
        self._needed = 0
        """Bytes that must be held before there is anything to find."""
        self._skip = 0
        self._skip_line = False

    def feed(self, data: bytes) -> list[Framed]:
        data = self._behind_the_skipped(data)
        self._parts.append(data)
        self.held += len(data)
        if self.held < self._needed or not data:
            return []
        buffer = b"".join(self._parts)
        whole: list[bytes] = []
        framed: list[Framed] = []
        at = 0
        while at < len(buffer):
            if found := _LENGTH.match(buffer, at):
                length, begin = int(found[1]), found.end()
                end = begin + length
                taken = min(length, self._max)
                self._needed = begin - at + taken
                if len(buffer) < begin + taken:
                    break
                if length > self._max:
                    framed += [Framed(whole), Framed([shortened(buffer[begin : begin + taken + 1], self._max)], True)]
                    whole = []
                    self._skip = max(0, end - len(buffer))
                else:
                    whole.append(buffer[begin:end])
                at = min(end, len(buffer))
            elif (
                (unsure := _PERHAPS_LENGTH.match(buffer, at)) and unsure.end() == len(buffer) and unsure.end() - at < 9
            ):
                self._needed = 0
                break
            else:
                line_end = buffer.find(b"\n", at)
                if line_end < 0:
                    self._needed = 0
                    if len(buffer) - at < room_for_line(self._max):
                        break
                    framed += [Framed(whole), Framed([shortened(buffer[at:], self._max)], True)]
                    whole = []
                    self._skip_line = True
                    at = len(buffer)
                elif line := buffer[at:line_end].removesuffix(b"\r"):  # a bare line end may follow a counted message
                    if len(line) > self._max:
                        framed += [Framed(whole), Framed([shortened(line, self._max)], True)]
                        whole = []
                    else:
                        whole.append(line)
                    at = line_end + 1
                else:
                    at = line_end + 1
        else:
            self._needed = 0
        self._parts = [buffer[at:]]
        self.held = len(buffer) - at
        framed.append(Framed(whole))
        return [f for f in framed if f.messages]

    def give_up(self) -> bytes:
        held = b"".join(self._parts)
        self._parts, self.held, self._needed = [], 0, 0
        if not held:
            return b""
        if found := _LENGTH.match(held):
            self._skip = int(found[1]) - (len(held) - found.end())
            return held[found.end() :]
        self._skip_line = True
        return held

    def end(self) -> Framed:
        held = self.give_up()
        rest = _within([held], self._max)[0] if held else Framed([])
        return Framed(rest.messages, rest.cut or self._skip > 0)

    def _behind_the_skipped(self, data: bytes) -> bytes:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._skip_line:
            _, found, data = data.partition(b"\n")
            self._skip_line = not found
        return data


class _Undecided:
    """Finds out by the first bytes which framing a connection has."""

    def __init__(self, max_message: int) -> None:
        self._max = max_message
        self._parts: list[bytes] = []
        self._held = 0
        self._chosen: Framer | None = None

    @property
    def held(self) -> int:
        return self._chosen.held if self._chosen else self._held

    def feed(self, data: bytes) -> list[Framed]:
        if self._chosen is None:
            self._parts.append(data)
            self._held += len(data)
            self._chosen = self._choice(data)
            if self._chosen is None:
                return []
            data, self._parts = b"".join(self._parts), []
        return self._chosen.feed(data)

    def give_up(self) -> bytes:
        return self._as_lines().give_up()

    def end(self) -> Framed:
        return self._as_lines().end()

    def _as_lines(self) -> Framer:
        """Decide, when there is no more time to look."""
        if self._chosen is None:
            self._chosen = _Delimited(b"\n", self._max)
            self._chosen.feed(b"".join(self._parts))
            self._parts = []
        return self._chosen

    def _choice(self, data: bytes) -> Framer | None:
        head = b"".join(self._parts)[:16] if self._held < 32 or len(self._parts) == 1 else self._parts[0][:16]
        if _COUNTED_SYSLOG.match(head):
            return _Counted(self._max)
        if self._held < 11 and _PERHAPS_COUNTED.fullmatch(head):
            return None
        if head[:1] not in (b"{", b"<"):
            return _Delimited(b"\n", self._max)
        line_end, zero = data.find(b"\n"), data.find(b"\0")
        if line_end < 0 and zero < 0:
            return None if self._held < room_for_line(self._max) else _Delimited(b"\n", self._max)
        return _Delimited(b"\0" if line_end < 0 or 0 <= zero < line_end else b"\n", self._max)


def _within(messages: Sequence[bytes], max_message: int) -> list[Framed]:
    """Messages within the limit together, each longer one cut and on its own."""
    if len(max(messages, key=len)) <= max_message:
        return [Framed(list(messages))]
    framed: list[Framed] = []
    for message in messages:
        if len(message) > max_message:
            framed.append(Framed([shortened(message, max_message)], cut=True))
        elif framed and not framed[-1].cut:
            framed[-1].messages.append(message)
        else:
            framed.append(Framed([message]))
    return framed
