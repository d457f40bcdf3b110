"""What the search language means, and what it says about what it does not understand."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.query.extract import COLUMNS
from agent.query.language import (
    MAX_QUERY_CHARS,
    MAX_TERMS,
    Between,
    Equals,
    Exists,
    Levels,
    Query,
    QueryError,
    Words,
    parse,
)

SCORE = ("score", "fields.score", "ml.outputs.score", "ml.metrics.score", "ml.inputs.score", "labels.score")
DURATION = ("event.duration",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("score", [Words('"score"')]),
        ("cache miss", [Words('"cache"'), Words('"miss"')]),
        ('"cache miss"', [Words('"cache miss"')]),
        ("cac*", [Words('"cac"*')]),
        ('"cache mi"*', [Words('"cache mi"*')]),
        ("-healthz", [Words('"healthz"', negated=True)]),
        ('-"GET /healthz"', [Words('"GET /healthz"', negated=True)]),
        ('"say \\"no\\""', [Words('"say ""no"""')]),
        ("message:timeout", [Words('message : "timeout"')]),
        ("error:Value*", [Words('error : "Value"*')]),
        ("12:30", [Words('"12:30"')]),
        ("time-out", [Words('"time-out"')]),
        ("NEAR(a", [Words('"NEAR(a"')]),
    ],
)
def test_words_are_asked_of_the_index_quoted(text: str, words: list[Words]) -> None:
    """A word, phrase or prefix becomes an expression of the index in which nothing else has a meaning."""
    assert parse(text) == Query(words=tuple(words))


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("level:error", Levels(frozenset({"error"}))),
        ("level:WARN", Levels(frozenset({"warning"}))),
        ("level>=warning", Levels(frozenset({"warning", "error", "critical"}))),
        ("level:>error", Levels(frozenset({"critical"}))),
        ("level<info", Levels(frozenset({"debug"}))),
        ("-level:debug", Levels(frozenset({"debug"}), negated=True)),
        ("model:fraud-scorer", Equals(("ml.model.name",), "fraud-scorer")),
        ('model:"fraud scorer"', Equals(("ml.model.name",), "fraud scorer")),
        ("model=fraud", Equals(("ml.model.name",), "fraud")),
        ("version:3.2", Equals(("ml.model.version",), "3.2", 3.2)),
        ('version:"3.2"', Equals(("ml.model.version",), "3.2")),
        ("-host:a", Equals(("host.name",), "a", negated=True)),
        ("score>0.5", Between(SCORE, 0.5, None, strict=True)),
        ("score:>=0.5", Between(SCORE, 0.5, None)),
        ("score<1", Between(SCORE, None, 1, strict=True)),
        ("score:0.4..0.6", Between(SCORE, 0.4, 0.6)),
        ("score:..0.6", Between(SCORE, None, 0.6)),
        ("score:-1..", Between(SCORE, -1, None)),
        ("latency>100ms", Between(DURATION, 100_000_000, None, strict=True)),
        ("duration:1ms..2s", Between(DURATION, 1_000_000, 2_000_000_000)),
        ("ml.outputs.score>=1e-3", Between(("ml.outputs.score",), 0.001, None)),
        ("user:*", Exists(("user", *(place.replace("score", "user") for place in SCORE[1:])))),
        ("-ml.outputs:*", Exists(("ml.outputs",), negated=True)),
        ("ml.outputs.span:a..b", Equals(("ml.outputs.span",), "a..b")),
    ],
)
def test_fields_are_tested_at_their_places(text: str, test: object) -> None:
    """A field term names its places and what must be there."""
    assert parse(text).tests == (test,)


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("", None, None),
        ("level:error", None, None),
        ("a b", '("a") AND ("b")', None),
        ("a -b -c", '(("a")) NOT (("b") OR ("c"))', '("b") OR ("c")'),
        ("-b", None, '("b")'),
        ("id:4f2a", '(ids : "4f2a")', None),
        ("logger:a.b a", '(logger : "a.b") AND ("a")', None),
        ("-id:4f2a", None, None),
        ("id:4f*", None, None),
    ],
)
def test_index_is_asked_for_all_it_knows(text: str, wanted: str | None, unwanted: str | None) -> None:
    """Whole values that the index holds find their candidates there, and what is not wanted is taken away."""
    query = parse(text)
    assert (query.wanted, query.unwanted) == (wanted, unwanted)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "level:eror",
            "level:eror (character 1): the levels are debug, info, warning, error, critical; did you mean error?",
        ),
        ("a model:", "model: (character 3): there is no value behind :"),
        ("score>high", "score>high (character 1): 'high' is not a number"),
        ("latency>5x", "latency>5x (character 1): '5x' is not a number with or without a unit, such as 100ms"),
        ("a OR b", 'OR (character 3): all terms must hold, and - means not; to look for the word, write "or"'),
        ('cache "miss', "The quotation mark at character 7 has no partner."),
        ('a"b" c', "There is a quotation mark inside a word near character 2; put spaces around quoted text."),
        ("--- x", "--- (character 1): there is no letter or digit in it to look for"),
        ("a\x00b", "The query holds characters that cannot be printed."),
        ("a" * (MAX_QUERY_CHARS + 1), "The query is 4097 characters long; at most 4096 are read."),
        ("a " * (MAX_TERMS + 1), "The query has more than 64 terms."),
        (".".join("a" * 20) + ":1", ".".join("a" * 20) + ":1 (character 1): a name has at most 16 parts"),
    ],
)
def test_what_is_not_understood_is_said_with_its_place(text: str, sentence: str) -> None:
    """A bad query is answered with one sentence that says what and where."""
    with pytest.raises(QueryError) as raised:
        parse(text)
    assert str(raised.value) == sentence


@given(
    st.text(st.characters(codec="utf-8"), max_size=80) | st.text(st.sampled_from('ab9 :-"*()<>=\\.^{}+'), max_size=40)
)
def test_any_text_is_a_query_or_a_mistake_and_never_an_error_of_the_index(text: str) -> None:
    """Whatever is typed either raises ``QueryError`` or gives an expression that FTS5 takes."""
    try:
        query = parse(text)
    except QueryError:
        return
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE VIRTUAL TABLE words USING fts5({', '.join(COLUMNS)}, content = '')")
        for expression in (query.wanted, query.unwanted):
            if expression is not None:
                db.execute("SELECT rowid FROM words WHERE words MATCH ?", (expression,)).fetchall()
