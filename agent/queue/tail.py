"""What the newest frames add up to when some of them are gone. Pure.

A frame's ``total`` says how many records were appended before it, so a step between two readable frames is evidence of
exactly that many missing records. Whose they were, the inputs' cumulative counts say in the next group of the same
input. What no group speaks of stays unknown (``UNKNOWN``). Only a step in the totals makes records unknown: without
one, sums that disagree are a mistake of ours and must show.
"""

from agent.queue.frame import Frame
from agent.queue.state import State


class Tail:
    """Moves ``state`` on by the frames behind a segment's header, given one by one as they lie on disk."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._applied = state.seq
        self._seq = state.seq
        self._total = state.total
        self._pending = 0  # records of a group whose end has not come yet
        self._unknown = 0

    def add(self, frame: Frame) -> None:
        """The next readable frame."""
        if frame.seq <= self._applied:
            return  # written again after a failed sync
        if self._pending and frame.seq != self._seq + 1:
            self._group_without_end(completed=frame.total >= self._total)
        self._unknown += max(0, frame.total - self._total)
        self._seq, self._total = frame.seq, frame.total + frame.count
        self._pending += frame.count
        self.state.seq = max(self.state.seq, frame.seq)
        if not frame.more:
            self._end_of_group(frame)

    def close(self) -> State:
        """All frames were given."""
        self.state.miss(self._unknown)
        self._unknown = 0
        return self.state

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
