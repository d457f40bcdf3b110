"""Reading again, after a restart, the lines of events that were open when it happened. Blocking."""

import os
from collections.abc import Iterable, Iterator

from agent.inputs.assembly.assembly import Open
from agent.inputs.file.generation import OpenFile
from agent.inputs.lines import At, Cut, cut


def read_again(opened: OpenFile, events: Iterable[Open], max_line: int) -> list[Cut]:
    """The lines, in the order in which they lie in the file. Raises ``OSError``."""
    ranges = sorted(where for event in events for where in event.each())
    return [piece for begin, end in ranges for piece in _lines(opened, begin, end, max_line)]


def _lines(opened: OpenFile, begin: int, end: int, max_line: int) -> Iterator[Cut]:
    return iter(cut(os.pread(opened.fd, end - begin, begin), begin, At.LINE, max_line))
