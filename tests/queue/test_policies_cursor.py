"""What a cursor says when frames are dropped by policy: each record has one fate, and the sum holds at every step."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from agent.queue.cursor import (
    SLOT_BYTES,
    Cursor,
    Range,
    decode_cursor,
    decode_slot,
    encode_cursor,
    encode_slot,
    encode_to_fit,
)

REASONS = ["dropped.queue_full", "dropped.max_lag"]


class Frames(RuleBasedStateMachine):
    """An output that reads frames, finishes them in any order, loses the oldest to policies, and is killed; beside it
    a plain list of every frame's fate."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.cursor = Cursor()
        self.totals = [0]
        self.fates: list[str | None] = []
        self.at_output: dict[int, Range] = {}
        self.read = 0
        self.life = 0

    @rule(records=st.integers(0, 5))
    def append(self, records: int) -> None:
        """The queue gets a frame."""
        self.totals.append(self.totals[-1] + records)
        self.fates.append(None)

    def _frame(self, seq: int) -> Range:
        return Range(seq, seq, self.totals[seq] - self.totals[seq - 1], self.totals[seq])

    @rule(target=held)
    def take(self) -> object:
        """The output reads the next frame that is neither finished nor gone."""
        self.read = max(self.read + 1, self.cursor.needs_from)
        while self.read <= len(self.fates) and self.cursor.is_done(self.read):
            self.read += 1
        if self.read > len(self.fates):
            self.read = len(self.fates)
            return multiple()
        self.at_output[self.read] = self._frame(self.read)
        return self.life, self.read

    @rule(which=consumes(held), fate=st.sampled_from(["delivered", "dead_lettered"]))
    def finish(self, which: tuple[int, int], fate: str) -> None:
        """The output says what became of a frame, unless it was killed meanwhile."""
        life, seq = which
        if life == self.life:
            done = self.at_output.pop(seq)
            self.cursor.finish(done, {fate: done.records})
            self.fates[seq - 1] = fate

    @precondition(lambda self: self.fates)
    @rule(data=st.data(), reason=st.sampled_from(REASONS))
    def drop(self, data: st.DataObject, reason: str) -> None:
        """The oldest frames are given up, but for those at the output."""
        seq = data.draw(st.integers(1, len(self.fates)))
        dropped = self.cursor.drop_through(seq, self.totals[seq], reason, self.at_output.values())
        gone = [n for n in range(1, seq + 1) if self.fates[n - 1] is None and n not in self.at_output]
        assert dropped == sum(self._frame(n).records for n in gone)
        for n in gone:
            self.fates[n - 1] = reason

    @precondition(lambda self: self.fates)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Reading finds that frames are damaged, some of which may have been finished or dropped before."""
        first = data.draw(st.integers(1, len(self.fates)))
        last = data.draw(st.integers(first, len(self.fates)))
        before = self.totals[first - 1]
        gone = Range(first, last, self.totals[last] - before, self.totals[last])
        for part in self.cursor.unfinished(gone, self.at_output.values()):
            self.cursor.finish(part, {"damaged": part.records})
        for n in range(first, last + 1):
            if self.fates[n - 1] is None and n not in self.at_output:
                self.fates[n - 1] = "damaged"

    @rule()
    def kill(self) -> None:
        """The process dies; what was at the output is read again, or was dropped with the others."""
        self.cursor = decode_cursor(encode_cursor(self.cursor))
        through, fate = self.cursor.dropped_through, self.cursor.dropped_fate
        self.cursor.settle_drops()
        for n in range(1, through + 1):
            if self.fates[n - 1] is None:
                self.fates[n - 1] = fate
        self.at_output = {}
        self.read = 0
        self.life += 1

    @invariant()
    def every_record_has_its_fate(self) -> None:
        """The counts are those of the list, and the sum holds."""
        counted: Counter[str] = Counter()
        for n, fate in enumerate(self.fates, 1):
            if fate is not None:
                counted[fate] += self._frame(n).records
        assert {fate: n for fate, n in self.cursor.counts.items() if n} == {f: n for f, n in counted.items() if n}
        assert self.cursor.balances
        assert [self.cursor.is_done(n) for n in range(1, len(self.fates) + 1)] == [f is not None for f in self.fates]


Frames.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestFrames = Frames.TestCase


def _frames(counts: list[int]) -> list[Range]:
    total, made = 0, []
    for seq, n in enumerate(counts, 1):
        total += n
        made.append(Range(seq, seq, n, total))
    return made


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.data())
def test_outputs_own_cursor_learns_what_was_dropped_and_why(counts: list[int], data: st.DataObject) -> None:
    """An output stored its cursor at some moment; the queue went on delivering and dropping. After a restart the
    output's cursor says the same of every reason, and what the queue counted as dropped but the output had stored
    counts as stored."""
    frames = _frames(counts)
    queues, own = Cursor(), Cursor()
    stored = 0
    for frame in frames:
        match data.draw(st.sampled_from(["stored", "stored, not told", *REASONS, "end"])):
            case "stored":
                queues.finish(frame, {"delivered": frame.records})
                own = decode_cursor(encode_cursor(queues))
                stored = queues.counts.get("delivered", 0)
            case "stored, not told":  # killed between the output's transaction and the queue's knowing
                own = decode_cursor(encode_cursor(queues))
                own.finish(frame, {"delivered": frame.records})
                stored = own.counts.get("delivered", 0)
                break
            case "end":
                break
            case reason:
                queues.drop_through(frame.last, frame.total, reason)
    if data.draw(st.booleans()) and queues.low < len(frames):
        last = frames[-1]
        queues.drop_through(last.last, last.total, REASONS[0])
    own.take_drops(queues)
    assert own.balances
    assert own.counts.get("delivered", 0) == stored
    assert own.low >= queues.dropped_through
    assert own.counts.get("damaged", 0) == 0
    if own.low == queues.low and stored == queues.counts.get("delivered", 0):
        assert {f: n for f, n in own.counts.items() if n} == {f: n for f, n in queues.counts.items() if n}


def test_what_an_outputs_store_lost_is_not_called_dropped() -> None:
    """A store that was damaged and went back to an old cursor: only what was dropped counts so, the rest as damaged."""
    queues = Cursor()
    old = Cursor()
    for frame in _frames([10, 10, 10]):
        queues.finish(frame, {"delivered": 10})
        if frame.first == 1:
            old = decode_cursor(encode_cursor(queues))
    queues.drop_through(4, 40, "dropped.max_lag")
    old.take_drops(queues)
    assert old.counts == {"delivered": 10, "dropped.max_lag": 10, "damaged": 20}
    assert old.balances


def _scattered(ranges: int, fates: dict[str, int]) -> Cursor:
    """A cursor with every other frame finished, the numbers as large as they get."""
    cursor = Cursor(low=2**40, low_total=2**50, start_total=2**50)
    for n in range(ranges):
        seq = 2**40 + 2 + 2 * n
        cursor.finish(Range(seq, seq, sum(fates.values()), 2**50 + 20 * (n + 1)), dict(fates))
    return cursor


@pytest.mark.parametrize("ranges", [0, 1, 100, 300, 1000])
@pytest.mark.parametrize("fates", [{"delivered": 10}, {"delivered": 3, "dead_lettered": 7}], ids=["all", "few"])
def test_cursor_in_any_number_of_pieces_fits_its_slot(ranges: int, fates: dict[str, int]) -> None:
    """Finished frames that do not fit are forgotten, oldest first: they are repeated after a restart, none is lost,
    and the sum holds."""
    cursor = _scattered(ranges, fates)
    slot = encode_slot(encode_to_fit(cursor), 1)
    assert len(slot) == SLOT_BYTES
    found = decode_slot(slot)
    assert found is not None
    written = found[0]
    assert written.balances
    assert written.low == cursor.low
    assert written.done == cursor.done[len(cursor.done) - len(written.done) :]
    assert all(n >= 0 for n in written.counts.values())
    if ranges <= 100:
        assert written == cursor
    else:
        assert len(written.done) > 100


def test_cursor_of_an_earlier_version_is_read() -> None:
    """A cursor written before drops had a fate of their own is as good as any."""
    old = {"low": 3, "low_total": 9, "start_total": 0, "done": [], "counts": {"delivered": 9}, "noted": {}}
    assert decode_cursor(msgspec.msgpack.encode(old)) == Cursor(low=3, low_total=9, counts={"delivered": 9})
