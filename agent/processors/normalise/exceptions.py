"""Tracebacks: the exception's type and message, read from a traceback's text."""

import re
from typing import Final, NamedTuple

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.values import Column, is_string, quote, unquote

# A frame, its source line, or the marks under it: everything of a traceback that is indented.
_INDENTED: Final = re.compile(r"[ \t|+]")
_EXCEPTION: Final = re.compile(r"([^\W\d][\w.]*)(?:: ?(.*))?", re.DOTALL).fullmatch
_HEADER: Final = "Traceback (most recent call last):"
# An exception group's own margin; those of the exceptions in it are wider.
_GROUP: Final = re.compile(r"  \+ Exception Group Traceback \(most recent call last\):")
_GROUPED: Final = re.compile(r"  \| ([^\W\d][\w.]*)(?:: ?(.*))?", re.DOTALL).fullmatch
MAX_MESSAGE_CHARS: Final = 32_768


class Raised(NamedTuple):
    """The exception at the end of a traceback: its class, with the module if that was written, and what it says."""

    type: str
    message: str


def raised(text: str) -> Raised | None:
    """The exception a traceback ends with; of chained ones, the last; of a group, the group.

    The exception's line is the first that is not indented behind the last header; where there is no header, behind the
    last line that is indented. Its message may go on over further lines.
    """
    lines = text.rstrip().split("\n")
    begin = max((i for i, line in enumerate(lines) if line.startswith(_HEADER)), default=None)
    group = max((i for i, line in enumerate(lines) if _GROUP.match(line)), default=-1)
    if group > (-1 if begin is None else begin):
        return _group_raised(lines[group:])
    indented = [i for i, line in enumerate(lines) if _INDENTED.match(line)]
    if begin is None:
        tail = lines[max(indented, default=-1) + 1 :]
    else:
        frames = begin + 1
        # Some join lines that have their line ends already: there are blank ones between.
        while frames < len(lines) and (_INDENTED.match(lines[frames]) or not lines[frames].strip()):
            frames += 1
        tail = lines[frames:]
    found = _EXCEPTION("\n".join(tail)) if tail else None
    return Raised(found[1], (found[2] or "")[:MAX_MESSAGE_CHARS]) if found else None


def _group_raised(lines: list[str]) -> Raised | None:
    found = next(filter(None, map(_GROUPED, lines)), None)
    return Raised(found[1], (found[2] or "")[:MAX_MESSAGE_CHARS]) if found else None


class TracebackReader:
    """Reads a traceback's text: ``error.stack_trace``, and from its end ``error.type`` and ``error.message``."""

    places = ("error.stack_trace", "error.type", "error.message")

    def read(self, value: bytes) -> Reading | None:
        """The text, as it is; what it says at its end is added where no field of the record says it."""
        if not is_string(value) or value == b'""':
            return None
        filled: tuple[tuple[str, bytes], ...] = (("error.stack_trace", value),)
        if exception := raised(unquote(value)):
            filled += (("error.type", quote(exception.type)), ("error.message", quote(exception.message)))
        return Reading(filled, exact=True)

    def read_column(self, column: Column) -> ColumnReading | None:
        """Never at once: most records have none."""
        return None
