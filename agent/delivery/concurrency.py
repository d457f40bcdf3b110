"""How many requests may be in flight: additive increase, multiplicative decrease.

The limit grows by one for each round of answers while it is used to the full, and halves when the other end says it is
overloaded, does not answer, or takes much longer than it used to. It never falls below one.
"""

import asyncio

_SLOWER = 3.0
"""An answer this many times slower than usual is taken as a sign of overload: the limit does not grow."""
_MEMORY = 0.9


class ConcurrencyLimit:
    """Slots for requests in flight, between one and ``maximum``."""

    def __init__(self, maximum: int) -> None:
        self.limit = 1.0
        self.in_flight = 0
        self._maximum = maximum
        self._usual_secs: float | None = None
        self._free = asyncio.Event()

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        while self.in_flight >= int(self.limit):
            self._free.clear()
            await self._free.wait()
        self.in_flight += 1

    def release(self) -> None:
        """Give the slot back."""
        self.in_flight -= 1
        self._free.set()

    def answered(self, secs: float) -> None:
        """A request was answered well, in this time."""
        usual = self._usual_secs
        self._usual_secs = secs if usual is None else usual * _MEMORY + secs * (1 - _MEMORY)
        if usual is not None and secs > usual * _SLOWER:
            return
        if self.in_flight >= int(self.limit):
            self.limit = min(float(self._maximum), self.limit + 1 / self.limit)
            self._free.set()

    def overloaded(self) -> None:
        """The other end asked for less, or did not answer."""
        self.limit = max(1.0, self.limit / 2)
