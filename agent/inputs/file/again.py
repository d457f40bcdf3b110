"""Reading again, after a restart, the lines of events that were open when it happened. Blocking."""

from collections.abc import Iterable, Iterator

from agent.inputs.assembly.assembly import Open
from agent.inputs.file.encoding import Encoding
from agent.inputs.file.generation import OpenFile
from agent.inputs.lines import At, Cut


def read_again(opened: OpenFile, events: Iterable[Open], encoding: Encoding, max_line: int) -> list[Cut]:
    """The lines, in the order in which they lie in the file. Raises ``OSError``."""
    ranges = sorted(where for event in events for where in event.each())
    return [piece for begin, end in ranges for piece in _lines(opened, begin, end, encoding, max_line)]


def _lines(opened: OpenFile, begin: int, end: int, encoding: Encoding, max_line: int) -> Iterator[Cut]:
    return iter(encoding.cut(opened.read(end - begin, begin), begin, At.LINE, max_line))
