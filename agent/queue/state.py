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

    def copy(self) -> "State":
        """A copy that may go its own way."""
        return State(self.seq, self.total, dict(self.origins), dict(self.counts))
