"""Sending again by hand: every record is answered for, in a bounded number of attempts."""

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.resend import ATTEMPTS, resend
from agent.errors import NoAnswer, Paused, Refused, Retryable, TooLarge
from tests.fakes.output import FakeOutput, Step

CONFIG = DeliveryConfig()
_IDS = [f"r-{i:02d}" for i in range(12)]
_DOCUMENTS = [b'{"n":%d}' % i for i in range(12)]


def _resend(output: FakeOutput, told: list[str] | None = None, config: DeliveryConfig = CONFIG) -> Outcome:
    """Resend twelve records, without really waiting."""

    async def no_wait(secs: float) -> None:
        await asyncio.sleep(0)

    batch = DeliveryBatch.of_documents("s-default", _IDS, _DOCUMENTS)
    tell = [] if told is None else told
    return asyncio.run(resend(output, batch, config, tell.append, no_wait))


def test_records_that_are_there_already_count_as_delivered() -> None:
    """Resending twice stores each record once, and says that the second time was a repeat."""
    output = FakeOutput()
    assert _resend(output) == Outcome()
    assert _resend(output) == Outcome(duplicates=12)
    assert list(output.taken) == _IDS


def test_batch_is_in_doubt() -> None:
    """The output is told that somebody may have sent these records before, so it looks before it sends."""
    seen: list[bool] = []

    def look(batch: DeliveryBatch) -> Outcome:
        seen.append(batch.in_doubt)
        return Outcome(retry=[0])

    _resend(FakeOutput([look, look]))
    assert seen == [True, True]


@pytest.mark.parametrize("failure", [Retryable("503: busy"), NoAnswer("timeout"), Paused("401: wrong password")])
def test_dead_output_is_told_and_raised_after_bounded_attempts(failure: Retryable | Paused) -> None:
    """Nobody waits for ever at a terminal: the last failure is raised, each wait before it was told with its reason."""
    output, told = FakeOutput([failure] * 100), list[str]()
    with pytest.raises(type(failure), match=str(failure)):
        _resend(output, told)
    assert output.requests == [12] * ATTEMPTS
    assert len(told) == ATTEMPTS - 1
    assert all(str(failure) in sentence for sentence in told)


def test_passing_trouble_costs_no_record() -> None:
    """Failures before the last attempt only take time."""
    output = FakeOutput([Retryable("503")] * (ATTEMPTS - 1))
    assert _resend(output) == Outcome()
    assert list(output.taken) == _IDS


@pytest.mark.parametrize("refusal", [TooLarge("413"), Refused("400: malformed")])
def test_culprit_of_a_refused_request_is_found_by_halving(refusal: TooLarge | Refused) -> None:
    """One poisoned record is refused by its place in the batch; its neighbours arrive."""

    def answer(batch: DeliveryBatch) -> Outcome:
        if _IDS[7] in batch.ids():
            raise refusal
        return Outcome()

    output = FakeOutput([answer] * 50)
    assert _resend(output) == Outcome(rejected={7: str(refusal)})
    assert sorted(output.taken) == [record for record in _IDS if record != _IDS[7]]


def test_batch_larger_than_configured_goes_in_parts() -> None:
    """A batch is never sent much larger than `batch_bytes`, whoever made it."""
    output = FakeOutput()
    assert _resend(output, config=DeliveryConfig(batch_bytes=len(b"".join(_DOCUMENTS)) // 3)) == Outcome()
    assert output.requests == [6, 6]


def test_only_records_not_taken_are_sent_again() -> None:
    """Items answered "not now" are sent again; those that never are taken come back as `retry`, by their places."""

    def busy(batch: DeliveryBatch) -> Outcome:
        return Outcome(retry=[i for i, record in enumerate(batch.ids()) if record in (_IDS[3], _IDS[9])])

    output = FakeOutput([busy] * 100)
    assert _resend(output) == Outcome(retry=[3, 9])
    assert output.requests[0] == 12
    assert max(output.requests[1:]) == 2
    assert len(output.taken) == 10


def test_records_never_taken_together_are_taken_apart() -> None:
    """A server that takes nothing of a batch may only find it too large: smaller parts follow."""

    def small_only(batch: DeliveryBatch) -> Outcome:
        return Outcome(retry=list(range(batch.count)) if batch.count > 3 else [])

    output = FakeOutput([small_only] * 100)
    assert _resend(output) == Outcome()
    assert sorted(output.taken) == _IDS


def test_record_too_large_for_the_output_is_refused_and_not_delivered() -> None:
    """A letter that was given up for its size must not leave the store because it is still too large."""

    def sized(batch: DeliveryBatch) -> Outcome:
        return Outcome(too_large={3: "a line of 2 MB, and it takes 1"}, rejected={5: "no"})

    output = FakeOutput([sized])
    assert _resend(output) == Outcome(rejected={3: "a line of 2 MB, and it takes 1", 5: "no"})
    assert set(output.taken) == {*_IDS} - {_IDS[3], _IDS[5]}


def test_failure_after_an_answer_keeps_the_answer() -> None:
    """When the output dies half-way, what was answered is still reported, and the rest is left over."""
    output = FakeOutput([TooLarge("413"), None, *[Retryable("gone")] * 100])
    assert _resend(output) == Outcome(retry=[6, 7, 8, 9, 10, 11])
    assert list(output.taken) == _IDS[:6]


def _mixed(retry: list[int], rejected: list[int], too_large: list[int]) -> Step:
    def answer(batch: DeliveryBatch) -> Outcome:
        bad = {i % batch.count: "refused" for i in rejected}
        large = {i % batch.count: "too large" for i in too_large if i % batch.count not in bad}
        later = sorted({i % batch.count for i in retry} - set(bad) - set(large))
        return Outcome(retry=later, rejected=bad, too_large=large)

    return answer


_steps: st.SearchStrategy[Step] = st.one_of(
    st.none(),
    st.sampled_from([Retryable("503"), NoAnswer("reset"), Paused("403"), TooLarge("413"), Refused("400")]),
    st.builds(_mixed, *[st.lists(st.integers(0, 40), max_size=most) for most in (5, 3, 2)]),
)


@given(script=st.lists(_steps, max_size=30))
def test_every_record_has_one_answer_under_any_script(script: Iterable[Step]) -> None:
    """What is neither rejected nor left over is exactly what the output holds; a raised failure means it holds
    nothing."""
    output = FakeOutput(script)
    try:
        outcome = _resend(output)
    except (Retryable, Paused):
        assert output.taken == {}
        return
    gone = {_IDS[i] for i in (*outcome.retry, *outcome.rejected)}
    assert len(gone) == len(outcome.retry) + len(outcome.rejected)
    assert set(output.taken) == set(_IDS) - gone
