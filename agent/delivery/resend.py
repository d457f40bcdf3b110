"""Sending a batch again, outside of the delivery loop: for a person at a terminal who waits for the answer.

The loop tries for ever, since giving up would lose the record; here the records are safe where they came from, so the
attempts are bounded and the answer says what is left. Nothing is rescued and nothing is buried: what is refused again
is the caller's to keep.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tenacity import stop_after_attempt

from agent.delivery.backoff import Sleep, retrying
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.errors import Paused, Refused, Retryable, TooLarge

ATTEMPTS: Final = 5
"""How often a batch is sent without an answer, and how often its records are sent that were answered "not now"."""


async def resend(
    output: Output,
    batch: DeliveryBatch,
    config: DeliveryConfig,
    tell: Callable[[str], None],
    sleep: Sleep = asyncio.sleep,
) -> Outcome:
    """Send every record until it is taken or refused, or the attempts ran out: those are in ``retry``. What is too
    large is in ``rejected``, with what else was refused.

    ``tell`` gets a sentence before each wait. Raises ``Retryable`` or ``Paused`` when no record had an answer; once one
    had, what had none is in ``retry`` too. Somebody may have sent these records before, so the batch is in doubt.
    Cancelling leaves it open what arrived; sending again under the same ids is harmless where ids are recognised.
    """
    batch.in_doubt = True
    whole = Outcome()
    parts: list[tuple[DeliveryBatch, list[int]]] = [(batch, list(range(batch.count)))]
    answered = False
    while parts:
        part, places = parts.pop()
        if part.count > 1 and part.raw_bytes > 2 * config.batch_bytes:
            parts += _halves(part, places)
            continue
        try:
            outcome = await _attempts(output, part, config, tell, sleep)
        except (TooLarge, Refused) as refusal:
            if part.count > 1:
                parts += _halves(part, places)
            else:
                whole.rejected[places[0]] = str(refusal)
                answered = True
            continue
        except (Retryable, Paused) as failure:
            if not answered:
                raise
            tell(f"giving up: {failure}")
            whole.retry += places + [place for _, others in parts for place in others]
            break
        answered = True
        whole.duplicates += outcome.duplicates
        whole.failure_store += outcome.failure_store
        whole.rejected |= {places[i]: why for i, why in (*outcome.rejected.items(), *outcome.too_large.items())}
        if not outcome.retry:
            continue
        rest, left = part.subset(outcome.retry), [places[i] for i in outcome.retry]
        if part.attempt >= ATTEMPTS:
            whole.retry += left
            continue
        rest.attempt = part.attempt + 1
        secs = min(config.backoff_max, config.backoff_initial * 2 ** (part.attempt - 1))
        tell(f"{rest.count} of {part.count} records were not taken now; trying again in {secs:.1f} s")
        await sleep(secs)
        # Nothing of it was taken: it may be too large to be taken at once.
        parts += _halves(rest, left) if 1 < rest.count == part.count else [(rest, left)]
    whole.retry.sort()
    return whole


async def _attempts(
    output: Output, batch: DeliveryBatch, config: DeliveryConfig, tell: Callable[[str], None], sleep: Sleep
) -> Outcome:
    """Send until there is an answer for the batch; the last failure when there is none."""

    def told(failure: BaseException, secs: float) -> None:
        tell(f"{failure}; trying again in {secs:.1f} s")

    bounded = retrying(config, sleep, told).copy(stop=stop_after_attempt(ATTEMPTS))
    return await bounded(output.send, batch)


def _halves(batch: DeliveryBatch, places: list[int]) -> list[tuple[DeliveryBatch, list[int]]]:
    """Both halves, the first one last: it is taken next."""
    middle = batch.count // 2
    return [
        (batch.subset(range(middle, batch.count)), places[middle:]),
        (batch.subset(range(middle)), places[:middle]),
    ]
