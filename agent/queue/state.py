"""What a queue adds up to at one moment: the last frame, the total, how far inputs are read, what they counted."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from agent.record import Counts, Origin

UNKNOWN: Final = "?"
"""The input of records that were certainly appended, but whose input's counts were damaged. No input's id: ids begin
with a letter or a digit."""


class State(msgspec.Struct):
    """``seq`` is the last sequence number given, ``total`` the number of records ever appended."""

    seq: int = 0
    total: int = 0
    origins: dict[tuple[str, str], Origin] = {}
    counts: dict[str, Counts] = {}

    def apply(self, seq: int, total: int, origins: Iterable[Origin], counts: Mapping[str, Counts]) -> None:
        """Move on by one group. All it says is absolute, so applying it twice does no harm; the groups must come in
        order."""
        self.seq = max(self.seq, seq)
        self.total = max(self.total, total)
        for origin in origins:
            if origin.state:
                self.origins[origin.input, origin.source] = origin
            else:
                self.origins.pop((origin.input, origin.source), None)
        self.counts.update(counts)

    def miss(self, records: int) -> None:
        """So many records were appended that no input's counts speak of any more."""
        if records:
            known = self.counts.get(UNKNOWN, Counts())
            self.counts[UNKNOWN] = Counts(known.accepted + records, known.bytes, known.dropped, known.noted)

    def reach(self, seq: int, total: int) -> int:
        """A cursor has seen the queue come this far, whatever is left of it. Returns how many records are missing."""
        missing = max(0, total - self.total)
        self.miss(missing)
        self.seq, self.total = max(self.seq, seq), self.total + missing
        return missing

    def copy(self) -> "State":
        """A copy that may go its own way."""
        return State(self.seq, self.total, dict(self.origins), dict(self.counts))
