"""Where records in doubt may lie."""

import pytest

from agent.outputs.elasticsearch.doubt import (
    CLOCK_MARGIN_MILLIS,
    made_at_millis,
    places_to_look,
    read_creation_dates,
    read_found,
)
from agent.record import RunId, record_id

DAY = CLOCK_MARGIN_MILLIS
NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("ages_in_days", "run_age_in_days", "expected"),
    [
        ([], 1, []),
        ([5], 1, []),
        ([50, 5], 1, []),
        ([50, 5], 4.5, [50]),  # replaced five days ago by that clock; the margin covers it
        ([50, 5], 6, [50]),
        ([50, 5, 0], 6, [50, 5]),
        ([50, 5, 0], 1, [5]),
        ([50, 40, 30, 0], 2, [30]),
    ],
)
def test_only_indices_written_to_since_the_run_began(
    ages_in_days: list[float], run_age_in_days: float, expected: list[float]
) -> None:
    """An index that was replaced before the run began cannot hold its records; the newest answers 409 itself."""
    indices = [(int(NOW - age * DAY), f"index-{age}") for age in ages_in_days]
    found = places_to_look(indices, int(NOW - run_age_in_days * DAY), newest=False)
    assert found == [f"index-{age}" for age in expected]


@pytest.mark.parametrize(("names", "expected"), [([], []), (["a"], ["a"]), (["a", "b"], ["b"])])
def test_the_newest_index_is_looked_into_when_asked_for(names: list[str], expected: list[str]) -> None:
    """Where an answer may never come, a 409 does not either."""
    indices = [(int(NOW - 50 * DAY) + n, name) for n, name in enumerate(names)]
    assert places_to_look(indices, NOW, newest=True) == expected


def test_the_oldest_run_counts() -> None:
    """A batch of records of several runs is looked for from the first of them on."""
    ids = [record_id(RunId(now_ns=millis * 1_000_000).text, 3, 1) for millis in (NOW, NOW - 7, NOW + 5)]
    assert made_at_millis(ids) == NOW - 7


def test_ids_of_another_kind_are_looked_for_everywhere() -> None:
    """An id that says nothing of its time could be anywhere."""
    assert made_at_millis(["something else"]) == 0


def test_indices_are_in_order_of_age() -> None:
    """Order of the answer does not matter; within a millisecond the generation decides."""
    body = (
        b'{"ds-2":{"settings":{"index":{"creation_date":"7"}}},"ds-1":{"settings":{"index":{"creation_date":"7"}}},'
        b'"ds-0":{"settings":{"index":{"creation_date":"3"}}}}'
    )
    assert read_creation_dates(body) == [(3, "ds-0"), (7, "ds-1"), (7, "ds-2")]


def test_found_ids_are_told_by_their_place() -> None:
    """Answers come in the order of the question; another number of answers is no answer."""
    body = b'{"docs":[{"found":true},{"found":false},{"found":true}]}'
    assert read_found(body, ["a", "b", "c"]) == {"a", "c"}
    with pytest.raises(ValueError, match="3 answers for 2 ids"):
        read_found(body, ["a", "b"])
