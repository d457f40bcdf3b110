"""The limit on requests in flight: what makes it grow, what makes it halve, and what does neither."""

import asyncio

import pytest

from agent.delivery.concurrency import NEVER_SLOW_SECS, SLOW_IN_A_ROW, SLOWER, ConcurrencyLimit

USUAL = NEVER_SLOW_SECS
SLOW = USUAL * SLOWER * 1.5


def grown(maximum: int = 16, to: float | None = None) -> ConcurrencyLimit:
    """A limit that has grown to its maximum, or to so many, over answers of ``USUAL`` seconds, and is used in full."""
    limit = ConcurrencyLimit(maximum)
    while limit.limit < (to or maximum):
        limit.in_flight = int(limit.limit)
        limit.answered(limit.round, USUAL)
    limit.in_flight = int(limit.limit)
    return limit


def test_one_round_of_answers_adds_one() -> None:
    """While all slots are used, as many answers as there are slots add one slot."""
    limit = grown(16, to=4)
    before = int(limit.limit)
    for _ in range(before + 1):
        limit.answered(limit.round, USUAL)
    assert int(limit.limit) == before + 1


def test_limit_does_not_grow_unused() -> None:
    """Answers that came while slots were free say nothing about more."""
    limit = ConcurrencyLimit(8)
    for _ in range(50):
        limit.in_flight = 0
        limit.answered(limit.round, USUAL)
    assert limit.limit == 1.0


@pytest.mark.parametrize("maximum", [1, 2, 7])
def test_limit_stays_between_one_and_the_maximum(maximum: int) -> None:
    """Whatever is answered how often, one request is always possible and the cap is never passed."""
    limit = grown(maximum)
    for _ in range(100):
        limit.answered(limit.round, USUAL)
    assert limit.limit == maximum
    for _ in range(100):
        limit.overloaded(limit.round)
    assert limit.limit == 1.0


def test_one_overloaded_round_halves_once() -> None:
    """Sixteen requests in flight that are all refused are one sign of overload, not sixteen."""
    limit = grown(16)
    begun_in = limit.round
    for _ in range(16):
        limit.overloaded(begun_in)
    assert limit.limit == 8.0


def test_answers_from_before_the_decrease_do_not_undo_it() -> None:
    """What was in flight when the limit was halved may end well; only later requests show whether there is room
    again."""
    limit = grown(16)
    begun_in = limit.round
    limit.overloaded(begun_in)
    for _ in range(15):
        limit.answered(begun_in, USUAL)
    assert limit.limit == 8.0


@pytest.mark.parametrize(
    ("secs", "expected"),
    [
        ([SLOW] * SLOW_IN_A_ROW, 8.0),
        ([SLOW] * (SLOW_IN_A_ROW - 1), 16.0),
        ([*[SLOW] * (SLOW_IN_A_ROW - 1), USUAL, *[SLOW] * (SLOW_IN_A_ROW - 1)], 16.0),
        ([SLOW] * SLOW_IN_A_ROW * 2, 4.0),
        ([SLOW * 4] * SLOW_IN_A_ROW * 4, 1.0),
        ([USUAL * SLOWER * 0.9] * 50, 16.0),
    ],
    ids=["long enough", "too short", "interrupted", "twice as long", "for good", "a little"],
)
def test_latency_that_stays_high_halves_the_limit(secs: list[float], expected: float) -> None:
    """Several slow answers in a row are overload; a few, or slightly slower ones, are not."""
    limit = grown(16)
    for each in secs:
        limit.answered(limit.round, each)
    assert limit.limit == expected


def test_quick_answers_are_never_slow() -> None:
    """From one millisecond to fifty is a large factor and no trouble."""
    limit = ConcurrencyLimit(4)
    for secs in [0.001] * 20 + [0.05] * 50:
        limit.in_flight = int(limit.limit)
        limit.answered(limit.round, secs)
    assert limit.limit == 4.0


def test_a_server_that_became_slower_for_good_is_the_new_usual() -> None:
    """With one request at a time we are not the cause: the limit grows again from there."""
    limit = grown(8)
    for _ in range(200):
        limit.in_flight = int(limit.limit)
        limit.answered(limit.round, SLOW * 3)
    assert limit.limit == 8.0


def test_waiting_for_a_slot_ends_when_one_is_given_back() -> None:
    """At one slot, the second request begins when the first has ended."""

    async def main() -> None:
        limit = ConcurrencyLimit(4)
        await limit.acquire()
        second = asyncio.create_task(limit.acquire())
        await asyncio.sleep(0)
        assert not second.done()
        limit.release()
        async with asyncio.timeout(5):
            await second
        assert limit.in_flight == 1

    asyncio.run(main())
