"""Which of several hosts is asked next. Pure: the time is given.

The hosts take turns. One that does not answer is left out for a second, and twice as long each time it fails again, up
to half a minute. When all are left out, the one whose time is up first is asked all the same.
"""

from collections.abc import Sequence
from typing import Final

FIRST_SECS: Final = 1.0
LONGEST_SECS: Final = 30.0


class Hosts:
    """The hosts of one output, by their addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(dict.fromkeys(addresses))
        self._failures: dict[str, int] = {}
        self._out_until: dict[str, float] = {}
        self._turn = 0

    def choose(self, now: float) -> str:
        """The address to ask next; ``now`` in seconds of any clock that only goes forward."""
        for _ in self._addresses:
            address = self._addresses[self._turn % len(self._addresses)]
            self._turn += 1
            if self._out_until.get(address, now) <= now:
                return address
        return min(self._addresses, key=lambda address: self._out_until[address])

    def answered(self, address: str) -> None:
        """It answered, whatever it said: it is well."""
        self._failures.pop(address, None)
        self._out_until.pop(address, None)

    def failed(self, address: str, now: float) -> bool:
        """It did not answer. Whether it is left out now and others are asked instead, for the first time in a row."""
        failures = self._failures[address] = self._failures.get(address, 0) + 1
        self._out_until[address] = now + min(FIRST_SECS * 2.0 ** min(failures - 1, 32), LONGEST_SECS)
        return failures == 1 and len(self._addresses) > 1
