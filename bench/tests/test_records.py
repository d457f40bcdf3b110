"""The generated log and the count of what arrived."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import Writer, blocks, missing_and_extra, request_id

KEYS = [
    "timestamp",
    "level",
    "logger",
    "message",
    "request_id",
    "inputs",
    "outputs",
    "metrics",
    "latency_ms",
    "batch_size",
]


def ids(indexes: list[int]) -> bytes:
    """What the sink would hand out after receiving these records."""
    return "".join(map(request_id, indexes)).encode()


def test_the_same_count_gives_the_same_bytes() -> None:
    """Two machines must tail the same file."""
    assert b"".join(blocks(5000)) == b"".join(blocks(5000))


def test_a_longer_file_begins_with_the_shorter_one() -> None:
    """A block's end must not show in the records."""
    assert b"".join(blocks(5000)).startswith(b"".join(blocks(4097)))


def test_every_record_is_a_json_object_with_the_promised_keys() -> None:
    """All ten keys in their order; an error also has its traceback."""
    for line in b"".join(blocks(5000)).splitlines():
        keys = list(json.loads(line))
        assert keys[:10] == KEYS
        assert keys[10:] in ([], ["exc_info"])


def test_records_are_about_410_bytes_long() -> None:
    """The promise is made for records of this size."""
    lines = list(blocks(4096))
    assert 400 <= sum(map(len, lines)) / 4096 <= 420


def test_a_record_carries_the_time_it_is_given() -> None:
    """To the microsecond, so that a delay can be seen in the record itself."""
    line = Writer().record(1_795_341_600.25)
    assert re.search(rb'"timestamp": "2026-11-22T10:00:00\.250000Z"', line)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=200, unique=True))
def test_ids_of_different_records_differ(indexes: list[int]) -> None:
    """Else a lost record could hide behind another."""
    assert len({request_id(i) for i in indexes}) == len(indexes)


@pytest.mark.parametrize(
    ("received", "missing", "extra"),
    [
        ([0, 1, 2, 3], 0, 0),
        ([3, 1, 0, 2], 0, 0),
        ([0, 1, 2], 1, 0),
        ([], 4, 0),
        ([0, 1, 2, 3, 3], 0, 1),
        ([0, 1, 2, 2, 2], 1, 2),
        ([0, 1, 2, 3, 4], 0, 1),
        ([1, 2, 3, 9], 1, 1),
    ],
)
def test_losses_and_repeats_are_counted(received: list[int], missing: int, extra: int) -> None:
    """Of four records: what did not come, what came again, and what nobody sent."""
    assert missing_and_extra(4, ids(received)) == (missing, extra)
