"""What several calls, each with an answer of its own, make of one batch."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, Throttled, TooLarge
from agent.outputs.aws.calls import Fate, Packed, fates, in_calls, send_calls

THROTTLED = Retryable("throttled", overloaded=True)
LOST = NoAnswer("lost")
PAUSED = Paused("expired")
REFUSED = Refused("bad")
LARGE = TooLarge("large")

Step = SendError | list[Fate]


def sent(sizes: Sequence[int], steps: Sequence[Step], per_call: int = 2) -> Outcome:
    """The outcome of records holding so many documents each, where the calls are answered like this."""
    answers = iter(steps)
    records, first = [], 0
    for size in sizes:
        records.append(Packed(range(first, first + size), b"x"))
        first += size

    async def put(call: list[Packed]) -> list[Fate]:
        step = next(answers)
        if isinstance(step, SendError):
            raise step
        return step

    return asyncio.run(send_calls(in_calls(records, per_call, 1000), put))


@pytest.mark.parametrize(
    ("sizes", "steps", "outcome"),
    [
        ([1, 1], [[None, None]], Outcome()),
        ([2, 3], [[None, THROTTLED]], Outcome(retry=[2, 3, 4], overloaded=True)),
        ([2, 3], [[LOST, None]], Outcome(retry=[0, 1], overloaded=True, in_doubt=True)),
        ([2, 2], [[PAUSED, None]], Outcome(retry=[0, 1])),
        ([1, 1], [[REFUSED, None]], Outcome(rejected={0: "bad"})),
        ([1, 1], [[None, LARGE]], Outcome(too_large={1: "large"})),
        ([1], [[REFUSED]], Outcome(rejected={0: "bad"})),
        ([2, 1], [[REFUSED, None]], Outcome(retry=[0, 1])),
        ([1, 1, 1, 1], [[None, None], LOST], Outcome(retry=[2, 3], overloaded=True, in_doubt=True)),
        ([1, 1, 1, 1], [[None, None], PAUSED], Outcome(retry=[2, 3])),
        ([1, 1, 1, 1], [[None, None], REFUSED], Outcome(retry=[2, 3])),
        ([1, 1, 1, 1, 1], [[None, THROTTLED], LOST], Outcome(retry=[1, 2, 3, 4], overloaded=True, in_doubt=True)),
        ([], [], Outcome()),
    ],
)
def test_what_is_known_is_kept(sizes: list[int], steps: list[Step], outcome: Outcome) -> None:
    """Taken documents are delivered, those of other records are sent again, and only a lone one can be refused."""
    assert sent(sizes, steps) == outcome


@pytest.mark.parametrize(
    ("sizes", "steps", "raised"),
    [
        ([1, 1], [THROTTLED], THROTTLED),
        ([1, 1], [[THROTTLED, THROTTLED]], THROTTLED),
        ([1, 1], [[THROTTLED, LOST]], LOST),
        ([1, 1], [[THROTTLED, PAUSED]], PAUSED),
        ([1, 1], [[REFUSED, THROTTLED]], THROTTLED),
        ([2, 2], [[REFUSED, REFUSED]], REFUSED),
        ([1, 1], [REFUSED], REFUSED),
        ([1, 1, 1], [[LOST, LOST], REFUSED], LOST),
        ([1, 1, 1], [[THROTTLED, THROTTLED], PAUSED], PAUSED),
    ],
)
def test_trouble_is_the_batchs_when_nothing_was_taken(sizes: list[int], steps: list[Step], raised: SendError) -> None:
    """The gravest: a doubt is not forgotten, and no culprit is looked for while something passing is in the way."""
    with pytest.raises(SendError) as caught:
        sent(sizes, steps)
    assert caught.value is raised


def test_nothing_is_sent_behind_a_call_that_failed() -> None:
    """The next ones would meet the same trouble."""
    outcome = sent([1] * 6, [[None, None], THROTTLED])
    assert outcome.retry == [2, 3, 4, 5]


@given(st.data())
def test_every_document_has_one_fate(data: st.DataObject) -> None:
    """Whatever the calls say: taken, again, rejected or too large, and never two of them."""
    sizes = data.draw(st.lists(st.integers(1, 3), max_size=8))
    trouble = st.sampled_from([THROTTLED, LOST, PAUSED, REFUSED, LARGE])
    steps: list[Step] = []
    taken: list[int] = []
    first = 0
    broken = False
    for start in range(0, len(sizes), 2):
        step: Step = data.draw(trouble | st.lists(st.none() | trouble, min_size=2, max_size=2))
        steps.append(step if isinstance(step, SendError) else step[: len(sizes[start : start + 2])])
        for i, size in enumerate(sizes[start : start + 2]):
            broken |= isinstance(step, SendError)
            if not broken and isinstance(step, list) and step[i] is None:
                taken += range(first, first + size)
            first += size
    try:
        outcome = sent(sizes, steps)
    except SendError:
        assert not taken
        return
    named = [*outcome.retry, *outcome.rejected, *outcome.too_large]
    assert sorted([*named, *taken]) == list(range(first))


def test_calls_keep_to_both_limits() -> None:
    """By count and by bytes, keys included, without a call in vain."""
    records = [Packed([i], b"x" * 40, "ké") for i in range(5)]
    assert [len(call) for call in in_calls(records, 2, 1000)] == [2, 2, 1]
    assert [len(call) for call in in_calls(records, 10, 86)] == [2, 2, 1]
    assert [len(call) for call in in_calls(records, 10, 85)] == [1] * 5
    assert [len(call) for call in in_calls(records, 10, 1)] == [1] * 5


@pytest.mark.parametrize("entries", [None, "text", [], [{"SequenceNumber": "1"}] * 3])
def test_answer_of_another_length_is_no_answer(entries: object) -> None:
    """Whatever answered, it cannot be said what became of which record."""
    with pytest.raises(NoAnswer, match="does not speak of the 2 records"):
        fates(entries, 2, "SequenceNumber")


def test_entries_say_what_became_of_each_record() -> None:
    """By AWS's codes; one that says nothing is in doubt."""
    codes = ["ProvisionedThroughputExceededException", "ServiceUnavailableException", "InternalFailure",
             "ValidationException", "SomethingNew"]  # fmt: skip
    found = fates([{"SequenceNumber": "7"}, {}, *({"ErrorCode": code} for code in codes)], 7, "SequenceNumber")
    assert [type(fate) for fate in found] == [type(None), NoAnswer, Throttled, NoAnswer, NoAnswer, Refused, Paused]
