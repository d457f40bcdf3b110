"""Lines that are no objects, where a batch wants nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inputs.http.answers import Refused
from agent.inputs.http.formats import _objects_among
from agent.processors.normalise import Normaliser
from agent.processors.normalise.usual import SETTLED
from agent.record import Batch, Counts
from agent.render import render
from tests.unit.normalise.documents import RUN, batch_of
from tests.unit.normalise.test_paths_agree import mixed_lines

MARKED = [
    b"\xef\xbb\xbf{}",
    b"\x00\x00{}",
    b'{"a":1}\x00',
    b" \t{}\r",
    b"\x0b{}",
    b"\x0b",
    b"",
    b"{}{}",
    b"{",
    b"3",
    b"null",
]
ODD = [b'{"a":NaN}', b'{"a":"\xff"}', b'{"\xff":1}', b"\xff", b'{"a":"\\ud800"}', b'{"a":"\t"}', b'{"a":' + b"[" * 5000]

some_lines = mixed_lines() | st.lists(
    st.sampled_from(MARKED + ODD) | st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=12
)


def _wanting(lines: list[bytes]) -> Batch:
    """A batch that wants objects only."""
    batch = batch_of(lines)
    batch.refused = []
    return batch


def _counts(counts: Counts) -> tuple[int, dict[str, int], dict[str, int]]:
    return counts.accepted, counts.dropped, {mark: count for mark, count in counts.noted.items() if count}


@settings(max_examples=300)
@given(some_lines, st.booleans())
def test_what_is_left_is_what_it_would_be_without_the_refused(lines: list[bytes], settled: bool) -> None:
    """Documents and counts, whatever came before."""
    normaliser = Normaliser()
    for _ in range(SETTLED if settled and lines else 0):
        normaliser(batch_of(lines[:1] * 300))
    batch = _wanting(lines)
    ndjson = [part.lines for part in render(normaliser(batch), RUN, 1)]
    assert batch.refused is not None
    refused = [row for row, _ in batch.refused]
    assert refused == sorted(set(refused))
    others = batch_of([line for row, line in enumerate(lines) if row not in refused])
    assert ndjson == [part.lines for part in render(Normaliser()(others), RUN, 1)]
    assert _counts(batch.counts) == _counts(others.counts)
    assert "parse_failed" not in others.counts.noted


@settings(max_examples=300)
@given(some_lines)
def test_it_refuses_what_an_input_would_refuse_that_looks_itself(lines: list[bytes]) -> None:
    """So that it makes no difference who looks."""
    batch, looked = _wanting(lines), Refused()
    Normaliser()(batch)
    assert batch.refused is not None
    _objects_among(lines, 0, looked)
    assert [row for row, _ in batch.refused[:10]] == [number for number, _ in looked.first]
    assert len(batch.refused) == looked.count


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "JSON is malformed"),
        (b'{"a":1} x', "trailing characters"),
        (b'{"a":', "truncated"),
        (b"[3]", "Expected `object`"),
        (b'{"a":' + b"[" * 5000, "nested too deeply"),
    ],
)
def test_the_reason_is_named(line: bytes, reason: str) -> None:
    """In words that somebody who sent it understands."""
    batch = _wanting([b"{}", line])
    Normaliser()(batch)
    assert batch.refused is not None
    ((row, said),) = batch.refused
    assert row == 1
    assert reason in said
