"""The ledger: what came in and what became of it, and whether the two agree.

Nothing in it is a difference made to fit. ``accepted`` and ``dropped`` come from the inputs' counts, which ride in the
frames; ``appended`` from the totals in the frames' heads; the fates from each output's cursor, where they are added up
record by record. Three equations must then hold:

* what inputs accepted and did not drop is what was appended to the queue,
* what an output is through with, since it joined, is what its position says,
* so for each output: accepted = delivered + rescued + dead-lettered + damaged + filtered + dropped + queued (+ what
  came before it joined).
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.queue.cursor import Cursor
from agent.queue.disk import RealDisk
from agent.queue.recovery import recover
from agent.record import Counts


class InputLine(msgspec.Struct):
    """One input, since the queue was made."""

    accepted: int
    bytes: int
    dropped: dict[str, int]
    noted: dict[str, int]
    queued_for_delivery: int


class OutputLine(msgspec.Struct):
    """One output. ``before`` are records appended before it joined; ``fates`` add up to what it is through with;
    ``balances`` says whether its counts agree with its position."""

    before: int
    fates: dict[str, int]
    queued: int
    noted: dict[str, int]
    balances: bool


class Ledger(msgspec.Struct):
    """The whole sum. ``appended`` is the number of records ever put into the queue."""

    inputs: dict[str, InputLine]
    appended: int
    outputs: dict[str, OutputLine]
    balances: bool


def make_ledger(counts: Mapping[str, Counts], total: int, cursors: Mapping[str, Cursor]) -> Ledger:
    """The ledger of these counts and cursors, ``total`` records having been appended."""
    inputs = {
        name: InputLine(c.accepted, c.bytes, dict(c.dropped), dict(c.noted), c.kept)
        for name, c in sorted(counts.items())
    }
    outputs = {}
    for name, cursor in sorted(cursors.items()):
        queued = cursor.behind(total)
        agrees = cursor.balances and cursor.start_total + cursor.passed + queued == total and queued >= 0
        outputs[name] = OutputLine(cursor.start_total, dict(cursor.counts), queued, dict(cursor.noted), agrees)
    kept = sum(line.queued_for_delivery for line in inputs.values())
    return Ledger(inputs, total, outputs, kept == total and all(line.balances for line in outputs.values()))


def read_ledger(queue_folder: Path) -> Ledger:
    """The ledger of a queue folder, whether an agent is using it or not. Writes nothing. Raises ``OSError`` when there
    is none."""
    recovered = recover(RealDisk(), queue_folder)
    state = recovered.state
    return make_ledger(state.counts, state.total, {name: cursor for name, (cursor, _) in recovered.cursors.items()})
