"""How many requests may be in flight: additive increase, multiplicative decrease.

The limit grows by one for each round of answers while it is used to the full. It halves when the other end says it is
overloaded, does not answer, or takes much longer than it used to, several times in a row. It never falls below one.

A decrease shows only in requests that begin after it: what was in flight when it happened says nothing new. So each
request notes the ``round`` it begins in, and only those of the current round count.
"""

import asyncio

SLOWER = 3.0
"""An answer this many times slower than usual is slow: the limit does not grow."""
NEVER_SLOW_SECS = 0.1
"""An answer this quick is never slow: below it, differences are noise."""
SLOW_IN_A_ROW = 3
"""So many slow answers one after the other are overload."""
_LEARNING = 0.1
_LEARNING_SLOWLY = 0.02
"""How much one answer moves what is usual. Slow ones move it less, or overload would soon be the usual; but with one
request at a time we are not the cause, and it is."""


class ConcurrencyLimit:
    """Slots for requests in flight, between one and ``maximum``."""

    def __init__(self, maximum: int) -> None:
        self.limit = 1.0
        self.in_flight = 0
        self.round = 0
        self._maximum = maximum
        self._usual_secs: float | None = None
        self._slow = 0
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

    def answered(self, begun_in: int, secs: float) -> None:
        """A request that began in this round was answered well, in this time."""
        usual = self._usual_secs
        if usual is None:
            usual = self._usual_secs = secs
        is_slow = secs > max(usual * SLOWER, NEVER_SLOW_SECS)
        learning = _LEARNING_SLOWLY if is_slow and self.limit >= 2 else _LEARNING
        self._usual_secs = usual + (secs - usual) * learning
        if begun_in != self.round:
            return
        self._slow = self._slow + 1 if is_slow else 0
        if self._slow >= SLOW_IN_A_ROW:
            self.overloaded(begun_in)
        elif not is_slow and self.in_flight >= int(self.limit):
            self.limit = min(float(self._maximum), self.limit + 1 / self.limit)
            self._free.set()

    def overloaded(self, begun_in: int) -> None:
        """A request that began in this round was too much for the other end, or had no answer."""
        if begun_in == self.round:
            self.limit = max(1.0, self.limit / 2)
            self.round += 1
            self._slow = 0
