"""What the newest frames add up to when some of them are gone. Pure.

A frame's ``total`` says how many records were appended before it, so a step between two readable frames is evidence of
exactly that many missing records. Whose they were, the inputs' cumulative counts say in the next group of the same
input. What no group speaks of stays unknown (``UNKNOWN``). Only a step in the totals makes records unknown: without
one, sums that disagree are a mistake of ours and must show.

After a power cut a frame can be missing that was never durable, with later ones there. Then nothing from it on
happened: its records and positions go together, and an input that can reads them again. What is known to have been
durable, here ``proven``, is missing only if it was damaged.
"""

from agent.queue.frame import Frame
from agent.queue.state import State


class Tail:
    """Moves ``state`` on by the frames behind a segment's header, given one by one as they lie on disk. ``proven`` is
    the last frame that is known to have been durable."""

    def __init__(self, state: State, proven: int) -> None:
        self.state = state
        self._proven = proven
        self._applied = state.seq
        self._seq = state.seq
        self._total = state.total
        self._pending = 0  # records of a group whose end has not come yet
        self._unknown = 0

    def add(self, frame: Frame) -> bool:
        """The next readable frame. False when it lies behind one that never was durable: it never happened, nor does
        what follows."""
        if frame.seq <= self._applied:
            return True  # written again after a failed sync
        if frame.seq - 1 > max(self._seq, self._proven):
            return False
        if self._pending and frame.seq != self._seq + 1:
            self._group_without_end(completed=frame.total >= self._total)
        self._unknown += max(0, frame.total - self._total)
        self._seq, self._total = frame.seq, frame.total + frame.count
        self._pending += frame.count
        self.state.seq = max(self.state.seq, frame.seq)
        if not frame.more:
            self._end_of_group(frame)
        return True

    def close(self) -> int:
        """All frames were given: what is still unknown goes to the input ``UNKNOWN``. Returns how many records."""
        self.state.miss(self._unknown)
        return self._unknown

    def _group_without_end(self, *, completed: bool) -> None:
        """Its end is damaged, and the counts with it; or it was never completed, and never happened."""
        if completed:
            self._unknown += self._pending
        else:
            self._total = self.state.total
        self._pending = 0

    def _end_of_group(self, frame: Frame) -> None:
        known = self.state.counts
        kept = sum(
            counts.kept - (known[name].kept if name in known else 0) for name, counts in frame.meta.counts.items()
        )
        explained = max(0, kept - self._pending)
        self._unknown = max(0, self._unknown - explained)
        self.state.apply(frame.seq, frame.total + frame.count, frame.meta.origins, frame.meta.counts)
        self._applied, self._pending = frame.seq, 0
