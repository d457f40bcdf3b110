"""The ledger: what came in and what became of it, and whether the two agree.

Nothing in it is a difference made to fit. ``accepted`` and ``dropped`` come from the inputs' counts, which ride in the
frames; ``appended`` from the totals in the frames' heads; the fates from each output's cursor, where they are added up
record by record; the dead letters from their store. Four things must then hold:

1. what inputs accepted and did not drop is what was appended to the queue,
2. what an output is through with, since it joined, is what its position says,
3. its position is not ahead of the queue,
4. every record it counts as dead-lettered is in the store, or left it counted: replayed, purged or expired. (More may
   be in the store than the output counts: it was put there by a process that did not live to say so, or before the
   output was forgotten.)

So for each output: accepted = delivered + rescued + dead-lettered + damaged + filtered + dropped + queued (+ what came
before it joined).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from agent.delivery.dead_letters.config import DEAD_LETTERS
from agent.delivery.dead_letters.folder import DeadLetterCounts, dead_letter_counts
from agent.queue.cursor import Cursor
from agent.queue.disk import RealDisk
from agent.queue.recovery import Recovered, recover
from agent.queue.state import UNKNOWN
from agent.record import Counts

DEAD_LETTERED = "dead_lettered"


class InputLine(msgspec.Struct):
    """One input, since the queue was made. The input ``?`` stands for records that were certainly appended, but whose
    inputs' counts were in frames that are damaged."""

    accepted: int
    bytes: int
    dropped: dict[str, int]
    noted: dict[str, int]
    queued_for_delivery: int


class OutputLine(msgspec.Struct):
    """One output. ``before`` are records appended before it joined; ``fates`` add up to what it is through with;
    ``dead_letters`` is what its store holds, and what left it; ``balances`` says whether its counts agree with its
    position and its store."""

    before: int
    fates: dict[str, int]
    queued: int
    noted: dict[str, int]
    balances: bool
    dead_letters: DeadLetterCounts = DeadLetterCounts()

    @property
    def sum(self) -> int:
        """What must be the number of records ever put into the queue."""
        return self.before + sum(self.fates.values()) + self.queued


class Ledger(msgspec.Struct):
    """The whole sum. ``appended`` is the number of records ever put into the queue. ``problems`` are the sentences why
    it does not balance; ``damage`` what of the folder could not be read, which the sum takes into account."""

    inputs: dict[str, InputLine]
    appended: int
    outputs: dict[str, OutputLine]
    balances: bool
    problems: list[str] = []
    damage: list[str] = []


def make_ledger(
    counts: Mapping[str, Counts],
    total: int,
    cursors: Mapping[str, Cursor],
    letters: Mapping[str, DeadLetterCounts] | None = None,
) -> Ledger:
    """The ledger of these counts and cursors, ``total`` records having been appended. ``letters`` must not be older
    than the cursors; without them the dead-letter stores are not looked at."""
    inputs = {
        name: InputLine(c.accepted, c.bytes, dict(c.dropped), dict(c.noted), c.kept)
        for name, c in sorted(counts.items())
    }
    problems = list(_input_problems(inputs, total))
    outputs = {}
    for name, cursor in sorted(cursors.items()):
        kept = letters.get(name, DeadLetterCounts()) if letters is not None else None
        wrong = list(_output_problems(name, cursor, total, kept))
        problems += wrong
        outputs[name] = OutputLine(
            cursor.start_total, dict(cursor.counts), cursor.behind(total), dict(cursor.noted), not wrong,
            kept or DeadLetterCounts(),
        )  # fmt: skip
    return Ledger(inputs, total, outputs, not problems, problems)


def _input_problems(inputs: Mapping[str, InputLine], total: int) -> Iterator[str]:
    kept = sum(line.queued_for_delivery for line in inputs.values())
    if kept != total:
        yield f"the inputs accepted and did not drop {kept:,} records, but {total:,} were put into the queue"


def _output_problems(name: str, cursor: Cursor, total: int, letters: DeadLetterCounts | None) -> Iterator[str]:
    position = cursor.low_total + sum(done.records for done in cursor.done)
    if not cursor.balances:
        counted = cursor.start_total + cursor.passed
        yield f"{name}: its counts add up to {counted:,} records, but its position says {position:,}"
    if position > total:
        yield f"{name}: it is through with {position:,} records, but only {total:,} were put into the queue"
    if letters is not None:
        known = letters.kept + letters.replayed + letters.purged + letters.expired
        counted = cursor.counts.get(DEAD_LETTERED, 0)
        if counted > known:
            yield f"{name}: {counted:,} records were dead-lettered, but the store only knows of {known:,}"


def read_ledger(queue_folder: Path) -> Ledger:
    """The ledger of a queue folder, whether an agent is using it or not, and whatever is damaged in it. Writes nothing.
    Raises ``OSError`` when there is none."""
    recovered = recover(RealDisk(), queue_folder)
    state = recovered.state
    cursors = {name: cursor for name, (cursor, _) in recovered.cursors.items()}
    ledger = make_ledger(state.counts, state.total, cursors, read_dead_letters(queue_folder, cursors))
    ledger.damage = list(_damage(recovered))
    return ledger


def read_dead_letters(queue_folder: Path, outputs: Mapping[str, object]) -> dict[str, DeadLetterCounts]:
    """The dead letters of each output. Blocking. To be read after the cursors: a record is in the store before its
    cursor says so."""
    return {output: dead_letter_counts(queue_folder / DEAD_LETTERS / output) for output in outputs}


def _damage(recovered: Recovered) -> Iterator[str]:
    for found in recovered.segments:
        if found.damage:
            yield f"{found.name.text}: {found.damage}"
    for output in recovered.unreadable_cursors:
        yield f"the cursor of {output} is not readable: it will start at the oldest record in the queue"
    unknown = recovered.state.counts.get(UNKNOWN)
    if unknown is not None:
        yield f"which input {unknown.accepted:,} records came from is not known: the frames that said so are damaged"
