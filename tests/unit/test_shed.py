"""Shedding: records of low levels go, counted by level; whatever else there is stays as it is."""

from collections import Counter
from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.normalise import normalise
from agent.processors.normalise.levels import SEVERITY, Level
from agent.processors.normalise.normaliser import NormaliseSettings
from agent.processors.shed import shed
from agent.record import Batch, Counts
from agent.render import render

LEVELS = [*SEVERITY]

records = st.lists(st.tuples(st.sampled_from([*LEVELS, None]), st.booleans()), max_size=60)


def _batch(made: list[tuple[Level | None, bool]]) -> Batch:
    """Lines of these levels, numbered; some have a key more than others, so that they lie in tables of their own."""
    lines = []
    for n, (level, more) in enumerate(made):
        record = {"message": "m", "n": n, **({"level": level} if level else {}), **({"more": 1} if more else {})}
        lines.append(msgspec.json.encode(record))
    batch = Batch("in", None, 0, lines, {}, {}, Counts(len(lines), sum(map(len, lines))))
    return normalise(batch, NormaliseSettings())


def _documents(batch: Batch) -> list[dict[str, object]]:
    ndjson = b"".join(d.lines for d in render(batch, "run", 1))
    return [msgspec.json.decode(line) for line in ndjson.split(b"\n")[1:-1:2]]


@given(records, st.sampled_from(LEVELS[1:]))
def test_exactly_the_lower_levels_go_and_are_counted(made: list[tuple[Level | None, bool]], below: Level) -> None:
    """What is left are the records at least as severe, and those without a level, in order; the rest is in the
    counts, by level."""
    batch = shed(_batch(made), below)
    low = [level for level, _ in made if level and SEVERITY[level] < SEVERITY[below]]
    stays = [n for n, (level, _) in enumerate(made) if level is None or SEVERITY[level] >= SEVERITY[below]]
    assert [document["fields"]["n"] for document in _documents(batch)] == stays  # type: ignore[index]
    assert batch.counts.dropped == {f"shed.{level}": n for level, n in Counter(low).items()}
    assert batch.counts.kept == len(stays)


@given(records, st.sampled_from(LEVELS[1:]))
def test_ids_have_no_gaps(made: list[tuple[Level | None, bool]], below: Level) -> None:
    """Ids are given after the dropping: the indexes run from 0 without a gap."""
    batch = shed(_batch(made), below)
    documents = render(batch, "run", 1)
    assert [d.first for d in documents] == [0, *accumulate(d.count for d in documents)][: len(documents)]
    ids = [document["event"]["id"] for document in _documents(batch)]  # type: ignore[index]
    assert ids == [f"run-1-{n:x}" for n in range(len(ids))]


@pytest.mark.parametrize("line", [b"DEBUG:scorer:loading", b"2026-01-01 10:00:00 DEBUG x", b'{"levelno": 10}'])
def test_level_counts_however_it_was_written(line: bytes) -> None:
    """A level read out of a line of text, or from a number, is a level."""
    batch = normalise(Batch("in", None, 0, [line], {}, {}, Counts(1, len(line))), NormaliseSettings())
    assert shed(batch, "info").counts.dropped == {"shed.debug": 1}
    assert _documents(batch) == []
