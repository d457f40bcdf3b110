"""Tracebacks: the exception's type and message, read from a traceback's text."""

import re
from typing import Final, NamedTuple

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.values import Column, is_string, quote, unquote

# A frame, its source line, or the marks under it: everything of a traceback that is indented.
_INDENTED: Final = re.compile(r"[ \t|+]")
_EXCEPTION: Final = re.compile(r"([^\W\d][\w.]*)(?:: ?(.*))?", re.DOTALL).fullmatch
MAX_MESSAGE_CHARS: Final = 32_768


class Raised(NamedTuple):
    """The exception at the end of a traceback: its class, with the module if that was written, and what it says."""

    type: str
    message: str


def raised(text: str) -> Raised | None:
    """The exception a traceback ends with; of chained ones, the last.

    The exception's line is the first that is not indented behind the last one that is; its message may go on over
    further lines.
    """
    lines = text.rstrip().split("\n")
    last_indented = max((i for i, line in enumerate(lines) if _INDENTED.match(line)), default=-1)
    tail = lines[last_indented + 1 :]
    while tail and not tail[0].strip():  # some join lines that have their line ends already
        tail = tail[1:]
    if tail and last_indented < 0 and tail[0].startswith("Traceback "):
        tail = tail[1:]
    found = _EXCEPTION("\n".join(tail)) if tail else None
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
