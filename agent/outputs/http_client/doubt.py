"""Whom to believe when record after record is refused: the records are no good, or the server takes nothing at all.

A server may refuse everything because the request is not what it understands (a wrong path, a proxy in between, a new
version behind the address); then no record is to blame, and none may be given up. So a refusal is believed only as long
as the server takes something else in between. When it has not for a while, it is asked with a record that it took
before. If it takes that again, it is the records: a model that is broken for an hour stops nobody else's. If it does
not, or has never taken any, nothing more is given up before a person has acted.

The record it is asked with is there twice then, under the same id: these outputs are at least once.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Paused, Refused, Retryable, TooLarge

MAX_REFUSED_IN_A_ROW: Final = 20
"""So many single records are given up one after the other on the word of the server alone."""


class Doubt:
    """Sends batches by ``send_once``, and looks at what is refused. ``send_once`` raises ``Refused`` for a request of
    which nothing was taken."""

    def __init__(self, send_once: Callable[[DeliveryBatch], Awaitable[Outcome]]) -> None:
        self._send_once = send_once
        self._refused_in_a_row = 0
        self._taken: DeliveryBatch | None = None

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once, as ``Output.send`` does. Raises ``Paused`` in place of ``Refused`` when nothing at all is
        taken."""
        try:
            outcome = await self._send_once(batch)
        except Refused as refusal:
            if batch.count == 1:
                await self._believe(refusal)
            raise
        if len(outcome.rejected) + len(outcome.retry) + len(outcome.too_large) < batch.count:
            self._refused_in_a_row = 0
            if not (outcome.rejected or outcome.retry or outcome.too_large or outcome.refused_unnamed):
                self._taken = batch.tail()
        return outcome

    async def _believe(self, refusal: Refused) -> None:
        self._refused_in_a_row += 1
        if self._refused_in_a_row <= MAX_REFUSED_IN_A_ROW:
            return
        if self._taken is None:
            raise Paused(
                f"{MAX_REFUSED_IN_A_ROW} records in a row were refused and none was ever taken; no more are given up, "
                f"since the request itself may be what is wrong (are address and `path` right?): {refusal}"
            )
        try:
            outcome = await self._send_once(self._taken.subset([self._taken.count - 1]))
            if outcome.rejected:
                raise Refused(outcome.rejected[0])
        except (Refused, TooLarge) as again:
            raise Paused(
                f"{MAX_REFUSED_IN_A_ROW} records in a row were refused, and so is one that was taken before; no more "
                f"are given up, since the server seems to refuse everything: {again}"
            ) from again
        except Retryable as trouble:
            # What it is a hint of, or leaves in doubt, is not the record that was refused.
            raise Retryable(str(trouble), trouble.retry_after_secs) from trouble
        self._refused_in_a_row = 1
