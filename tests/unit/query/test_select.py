"""Which documents several queries ask for together, and that a word means here what it means to the store."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.query.language import parse
from agent.query.match import matches
from agent.query.select import may_select, select
from tests.unit.local.stored import fill, found, record

TERMS = (
    "level>=warning", "-level:error", "level:info", "model:fraud-*", "-logger:uvicorn.access", "score>0.5", "user:*",
    "-user:*", "score:0.25..0.75", "logger:scorer", 'model:"churn"',
)  # fmt: skip
WORDS = ("timeout", "-timeout", '"cache miss"', "time*", "message:Café", "-error:ValueError", "error:Value*", "straße")

documents = st.builds(
    record,
    st.sampled_from(["served", "time-out", "TIMEOUT", "cache miss", "miss cache", "CAFE\u0301", "STRASSE straße", ""])
    | st.text(max_size=20),
    log__level=st.sampled_from(["info", "warning", "error", "odd"]),
    log__logger=st.sampled_from(["scorer", "uvicorn.access", "timeout"]),
    ml__model__name=st.sampled_from(["fraud-scorer", "churn", "fraud"]),
    ml__outputs__score=st.sampled_from([0.25, 0.5, 0.75, "high", None]),
    error__type=st.sampled_from(["ValueError", "KeyError", None]),
)


def queries(terms: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """One to three queries of one to three of these terms."""
    one = st.lists(st.sampled_from(terms), min_size=1, max_size=3).map(" ".join)
    return st.lists(one, min_size=1, max_size=3)


@given(st.lists(documents, max_size=20), queries(TERMS))
def test_selected_is_what_at_least_one_query_matches(there: list[bytes], texts: list[str]) -> None:
    """In order and each once; and the quick look over all of them rules out nothing of it."""
    parsed = [parse(text) for text in texts]
    wanted = [i for i, one in enumerate(there) if any(matches(query.tests, one) for query in parsed)]
    assert select(parsed, there) == wanted
    assert may_select(parsed, b"\n".join(there)) or not wanted


@settings(max_examples=60)
@given(st.lists(documents, min_size=1, max_size=12), queries((*WORDS, *TERMS)))
def test_selected_is_what_a_search_of_the_store_finds(there: list[bytes], texts: list[str]) -> None:
    """The same queries over the same documents give the same, words included."""
    with tempfile.TemporaryDirectory(prefix="modeltail-select-") as folder:
        fill(Path(folder), there)
        in_store = {one for text in texts for one in found(Path(folder), text)}
    assert [there[i] for i in select([parse(text) for text in texts], there)] == [d for d in there if d in in_store]


@pytest.mark.parametrize("text", ["timeout", "-timeout", "level:info timeout", "level:info -timeout"])
def test_words_beside_fields_are_looked_for_only_where_the_fields_fit(text: str) -> None:
    """A word picks the right ones out of those the fields have let through."""
    there = [
        record("timeout", log__level="error"),
        record("served", log__level="info"),
        record("timeout", log__level="info"),
        record("served", log__level="error"),
    ]
    wanted = {"timeout": [0, 2], "-timeout": [1, 3], "level:info timeout": [2], "level:info -timeout": [1]}
    assert select([parse(text)], there) == wanted[text]
