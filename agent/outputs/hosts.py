"""Which of several hosts is asked next. Pure: the time is given.

The hosts take turns, the least busy first: one that holds what it was given for long is not given all there is. One
that does not answer is left out for a second, and twice as long each time it fails again, up to half a minute; then it
gets one request, and no more before that is answered. When all are left out, the one whose time is up first is asked
all the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

FIRST_SECS: Final = 1.0
LONGEST_SECS: Final = 30.0


class Hosts:
    """The hosts of one output, by their addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._out_secs: dict[str, float] = {}
        self._out_until: dict[str, float] = {}
        self._busy: Counter[str] = Counter()
        self._turn = 0

    @contextmanager
    def chosen(self, now: float) -> Iterator[str]:
        """The address to ask next, which is busy until this is left; ``now`` in seconds of any clock that only goes
        forward."""
        address = self._choose(now)
        self._busy[address] += 1
        try:
            yield address
        finally:
            self._busy[address] -= 1

    def _choose(self, now: float) -> str:
        turns = self._addresses[self._turn :] + self._addresses[: self._turn]
        well = [address for address in turns if self._out_until.get(address, now) <= now]
        if not well:
            return min(self._addresses, key=lambda address: self._out_until[address])
        chosen = min(well, key=lambda address: (self._is_on_trial(address), self._busy[address]))
        self._turn = (self._addresses.index(chosen) + 1) % len(self._addresses)
        return chosen

    def _is_on_trial(self, address: str) -> bool:
        return address in self._out_secs and self._busy[address] > 0

    def answered(self, address: str) -> None:
        """It answered, whatever it said: it is well."""
        self._out_secs.pop(address, None)
        self._out_until.pop(address, None)

    def failed(self, address: str, now: float) -> bool:
        """It did not answer. Whether it is left out now and others are asked instead, for the first time in a row."""
        is_first = address not in self._out_secs
        secs = FIRST_SECS if is_first else min(2 * self._out_secs[address], LONGEST_SECS)
        self._out_secs[address], self._out_until[address] = secs, now + secs
        return is_first and len(self._addresses) > 1
