"""The queue's blocking core against a plain list, through failing calls, power cuts and kills in any order.

The model is the list of batches in the order they were appended, each known to be durable or not, and for each output
the set of those it finished. ``MODELTAIL_SOAK=1`` runs it for longer.
"""

import os
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.ledger import make_ledger
from agent.queue.cursor import Cursor, Range
from agent.queue.cursor_file import CursorFiles
from agent.queue.frame import Stored
from agent.queue.group import Entry
from agent.queue.reader import Reader
from agent.queue.recovery import Recovered
from agent.queue.start import recover_at_start
from agent.queue.state import UNKNOWN
from agent.queue.wal import WriteAheadLog
from tests.queue.entries import RUN, entry
from tests.queue.power import PowerDisk, PowerLost

FOLDER = Path("/queue")
OUTPUTS = ("a", "b")
SOURCES = ("s", "t")
SOAK = bool(os.environ.get("MODELTAIL_SOAK"))
LIMITS = settings(
    max_examples=4000 if SOAK else 300,
    stateful_step_count=60 if SOAK else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Given(msgspec.Struct, eq=False):
    """A batch that was given to the queue: the batches of one group become durable, or are lost, together."""

    number: int
    source: str
    position: int
    records: int


class End:
    """One output's end of the queue, as a subscription has it, without the event loop."""

    def __init__(self, disk: PowerDisk, cursor: Cursor) -> None:
        self.cursor = cursor
        self.reader = Reader(disk, FOLDER, cursor.low + 1, cursor.low_total)
        self.in_hand: list[Stored] = []


class QueueMachine(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def start(self) -> None:
        """An empty folder."""
        self.disk = PowerDisk()
        self.disk.make_folder(FOLDER)
        self.given: dict[int, Given] = {}
        self.order: list[int] = []  # batches in the queue, oldest first
        self.durable = 0  # how many of them are
        self.writing = 0  # how many, at the end, are just being written
        self.finished: dict[str, set[int]] = {output: set() for output in OUTPUTS}
        self.finished_durably: dict[str, set[int]] = {output: set() for output in OUTPUTS}
        self.seen = 0  # how many an output has been shown
        self.next_batch = 1
        self.position = dict.fromkeys(SOURCES, 0)
        self._open()

    # What the agent does.

    @rule(
        sizes=st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(0, 3)), min_size=1, max_size=3),
        streams=st.integers(1, 2),
    )
    def append(self, sizes: list[tuple[str, int]], streams: int) -> None:
        """A group of batches; a failing disk is tried again, as the queue does."""
        entries = []
        for source, records in sizes:
            self.position[source] += 1
            made = Given(self.next_batch, source, self.position[source], records)
            self.next_batch += 1
            self.given[made.number] = made
            self.order.append(made.number)
            entries.append(_entry(made, streams))
        self.writing = len(entries)
        try:
            while True:
                try:
                    if self.wal.must_sync_first:
                        self._sync()
                    self.wal.append(entries)
                    self.writing = 0
                    return
                except OSError:
                    continue
        except PowerLost:
            self._crashed()

    @rule()
    def sync(self) -> None:
        """Make everything durable, writing it again where a sync fails."""
        try:
            self._sync()
        except PowerLost:
            self._crashed()

    @rule()
    def seal(self) -> None:
        """The segment has its size."""
        self.sync()
        self.wal.seal()

    @rule(output=st.sampled_from(OUTPUTS), size=st.sampled_from([1, 10**6]))
    def read(self, output: str, size: int) -> None:
        """An output is shown what is durable, each frame once and in order."""
        end = self.ends[output]
        visible = self.wal.visible
        reading = end.reader.read(self.wal.extents(), visible, end.cursor.low, end.cursor.low_total, size)
        for gap in reading.gaps:
            for part in end.cursor.unfinished(gap.frames):
                assert part.records == 0, "records are missing though nothing was damaged"
                end.cursor.finish(part, {})
        end.in_hand += [stored for stored in reading.stored if not end.cursor.is_done(stored.frame.seq)]
        shown = {batch for stored in reading.stored for batch in _batches(stored)}
        assert shown <= set(self.order[: self.durable]), "something was shown that a power cut could take"
        self.seen = max([self.seen, *(self.order.index(batch) + 1 for batch in shown)])

    @rule(output=st.sampled_from(OUTPUTS), which=st.randoms(use_true_random=False), share=st.floats(0, 1))
    def finish(self, output: str, which: object, share: float) -> None:
        """An output finishes some of what it has, in any order."""
        end = self.ends[output]
        which.shuffle(end.in_hand)  # type: ignore[attr-defined]
        for _ in range(round(len(end.in_hand) * share)):
            frame = (stored := end.in_hand.pop()).frame
            end.cursor.finish(
                Range(frame.seq, frame.seq, frame.count, frame.total + frame.count), {"delivered": frame.count}
            )
            self.finished[output] |= _batches(stored)
        self.files.touch(output)

    @rule(durable=st.booleans())
    def write_cursors(self, durable: bool) -> None:
        """Cursors are written, and now and then synced."""
        try:
            self._write_cursors(durable=durable)
        except OSError:
            pass
        except PowerLost:
            self._crashed()

    @rule()
    def trim(self) -> None:
        """What every output is through with is deleted."""
        low = min(end.cursor.low for end in self.ends.values())
        sealed = [segment for segment in self.wal.segments if self.wal.is_sealed(segment)]
        try:
            self._write_cursors(durable=True)
            for segment in sealed[:-1]:
                if segment.last <= low:
                    self.wal.delete(segment)
        except OSError:
            pass
        except PowerLost:
            self._crashed()

    # What happens to it.

    @rule(calls=st.sets(st.integers(1, 12), max_size=4))
    def let_calls_fail(self, calls: set[int]) -> None:
        """Some of the next calls to the disk fail."""
        self.disk.failing = {self.disk.calls + call for call in calls}

    @rule(call=st.integers(1, 12), seed=st.integers(0, 10**6))
    def let_power_go(self, call: int, seed: int) -> None:
        """Power is lost at one of the next calls."""
        self.disk.lose_power_at = self.disk.calls + call
        self.seed = seed

    @rule(seed=st.integers(0, 10**6))
    def crash(self, seed: int) -> None:
        """Power is lost between two calls."""
        self.seed = seed
        self._crashed()

    @precondition(lambda self: self.disk.has_power)
    @rule()
    def restart(self) -> None:
        """The process is killed and another one starts: nothing that was written is lost."""
        there = list(self.order)
        self.seed = 1
        self._crashed()
        assert self.order == there, "a kill lost something that had been written"

    @invariant()
    def sums_agree(self) -> None:
        """At every moment the ledger balances, and knows of no damage."""
        cursors = {output: end.cursor for output, end in self.ends.items()}
        ledger = make_ledger(self.wal.state.counts, self.wal.state.total, cursors)
        assert ledger.balances
        assert UNKNOWN not in ledger.inputs
        assert self.wal.state.total == sum(self.given[batch].records for batch in self.order)

    # Below the rules.

    seed = 0

    def _sync(self) -> None:
        while self.wal.has_unsynced:
            try:
                self.wal.sync()
            except OSError:
                self._rewrite()
        self.durable = len(self.order) - self.writing

    def _rewrite(self) -> None:
        while True:
            try:
                return self.wal.rewrite()
            except OSError:
                continue

    def _write_cursors(self, *, durable: bool) -> None:
        finished = {output: set(done) for output, done in self.finished.items()}
        for output in OUTPUTS:
            self.files.touch(output)
        self.files.write(self.files.take(), durable=durable)
        if durable:
            self.finished_durably = finished

    def _crashed(self) -> None:
        """Start again with what a power cut leaves, and hold it against the model."""
        self.disk, self.writing = self.disk.after_power_cut(self.seed), 0
        self._open()

    def _open(self) -> None:
        recovered = recover_at_start(self.disk, FOLDER)
        self.wal = WriteAheadLog(
            self.disk, FOLDER, RUN, recovered,
            segment_bytes=10**6, show_unsynced=False, cursors=lambda: self.files.encoded,
        )  # fmt: skip
        self.files = CursorFiles(self.disk, FOLDER, recovered.cursors)
        self.ends = {}
        survivors = self._survivors(recovered)
        for output in OUTPUTS:
            cursor = self.files.cursors.get(output) or recovered.lost_cursors.get(output) or Cursor()
            self.files.own(output, cursor)
            self.ends[output] = End(self.disk, cursor)
        self._compare(survivors)

    def _survivors(self, recovered: Recovered) -> list[int]:
        """The batches that are there after a start, by the positions: all of a source up to its position."""
        positions = {(o.input, o.source): int(o.state) for o in recovered.state.origins.values()}
        self.position = {source: positions.get((f"in-{source}", source), 0) for source in SOURCES}
        return [b for b in self.order if self.given[b].position <= self.position[self.given[b].source]]

    def _compare(self, survivors: list[int]) -> None:
        assert survivors == self.order[: len(survivors)], "the middle is gone, but not the end"
        assert len(survivors) >= self.durable, "something durable is gone"
        assert len(survivors) >= self.seen, "something an output had seen is gone"
        self.order, self.durable = survivors, len(survivors)
        visible = self.wal.visible
        for output, end in self.ends.items():
            reader = Reader(self.disk, FOLDER, end.cursor.low + 1, end.cursor.low_total)
            reading = reader.read(self.wal.extents(), visible, end.cursor.low, end.cursor.low_total, 10**9)
            reader.close()
            assert all(part.records == 0 for gap in reading.gaps for part in end.cursor.unfinished(gap.frames))
            come = [b for s in reading.stored if not end.cursor.is_done(s.frame.seq) for b in sorted(_batches(s))]
            expected = [batch for batch in self.order if self.given[batch].records]
            assert sorted(set(come)) == [b for b in expected if b in set(come)]
            behind = set(expected) - set(come)
            assert behind <= self.finished[output], "a cursor is ahead of what was finished"
            assert self.finished_durably[output] & set(come) == set(), "what was durably finished would come again"
            self.finished[output] = behind
            self.finished_durably[output] &= behind
        self.seen = 0


def _entry(given: Given, streams: int) -> Entry:
    made = entry(given.number, given.records, source=given.source, position=given.position)
    made.input = f"in-{given.source}"
    assert made.origin is not None
    made.origin = type(made.origin)(made.input, given.source, made.origin.state)
    for documents in made.documents:
        documents.stream = f"stream-{given.number % streams}"
    return made


def _batches(stored: Stored) -> set[int]:
    return {part.batch for part in stored.frame.parts}


def test_the_queue_is_a_list_that_survives() -> None:
    """Whatever the order of appends, syncs, reads, failures, cuts and kills."""
    run_state_machine_as_test(QueueMachine, settings=LIMITS)
