"""What becomes of lines, shown to people: the way an agent's records go, up to the queue and not into it."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedIOBase
from typing import Final, Literal, NamedTuple

import msgspec

from agent.components import parser_for, processors_for
from agent.config.root import AgentConfig
from agent.form import Form
from agent.inputs import InputConfig
from agent.inputs.line_assembler import LineAssembler
from agent.inputs.line_batch import LineBatches, label_constants
from agent.inputs.lines import BLOCK_BYTES
from agent.inputs.options import LineOptions
from agent.processors.normalise.tolerant import MARKS, NO_TEXT, decode, walk
from agent.record import Batch, Counts, RunId
from agent.render import render

Outcome = Literal["object", "fits", "other"]
"""A JSON object; a line that a preset or the operator's description takes apart; any other."""

_no_text: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class Tried(NamedTuple):
    """A line, where it stood (counted from 1), and what became of it: the places it fills itself, as JSON text, and the
    whole document."""

    number: int
    text: str
    outcome: Outcome
    places: dict[str, bytes]
    document: bytes


class Trial:
    """Sends lines through the processors of one input. ``counts`` adds up what was taken and left out."""

    def __init__(self, config: AgentConfig, component: InputConfig) -> None:
        assert isinstance(component, LineOptions)
        self._options: LineOptions = component
        self._processors = processors_for(config, component)
        self._parser = parser_for(component)
        self._run = RunId().text
        self._batches = 0
        self.counts = Counts()

    def lines_of(self, stream: BufferedIOBase) -> Iterator[Tried]:
        """Every line of a stream that has a document, as soon as it can be read."""
        options = self._options
        assembler = LineAssembler(options.max_line)
        batches = LineBatches(options.id, options.include_lines, options.exclude_lines)
        labels = label_constants(options.labels)
        ended = False
        while not ended:
            data = stream.read1(BLOCK_BYTES)
            ended = not data
            for cut in assembler.feed(data, ended=ended):
                batch = batches.make(cut, labels, None, time.time_ns(), offsets=True)
                numbers = {b"%d" % start: self.counts.accepted + i for i, start in enumerate(cut.starts, 1)}
                yield from self._tried(batch, [numbers[start] for start in batch.columns.pop("log.offset")])
                self.counts.add(batch.counts)

    def _tried(self, batch: Batch, numbers: Sequence[int]) -> Iterable[Tried]:
        lines = batch.lines
        for process in self._processors:
            batch = process(batch)
        self._batches += 1
        made = render(batch, self._run, self._batches, form=Form.NDJSON)
        bodies = [body for part in made for body in part.lines.split(b"\n")[:-1]]
        places = {
            row: {place: bytes(column[at]) for place, column in zip(table.places, table.columns, strict=True)}
            for table in batch.tables
            for at, row in enumerate(table.rows)
        }
        for row, body in zip(sorted(places), bodies, strict=True):
            text = lines[row].decode(errors="replace")
            outcome = self._outcome(text, batch.read_at_ns)
            yield Tried(numbers[row], text, outcome, places[row], body)

    def _outcome(self, text: str, read_at_ns: int) -> Outcome:
        if _is_object(text):
            return "object"
        fits = self._parser is not None and self._parser(text.lstrip(NO_TEXT), read_at_ns) is not None
        return "fits" if fits else "other"


def _is_object(text: str) -> bool:
    text = text.lstrip(MARKS)
    if not text.startswith("{"):
        return False
    try:
        decode(text.encode())
    except (msgspec.DecodeError, RecursionError):
        try:
            walk(text)
        except (ValueError, RecursionError):
            return False
    return True


def printable(text: str) -> str:
    """A line for a terminal: what would steer it is written out."""
    return _no_text.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
