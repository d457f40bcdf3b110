"""Why a line does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import pattern
from agent.processors.parse.config import CsvParse, KeyValueParse, LogfmtParse, ParseConfig, RegexParse
from agent.processors.parse.explain import pieces_of, why

HEAD = r"^(?P<time>\S+ \S+) (?P<level>[A-Z]+) \[(?P<logger>[^\]]+)\] (?P<message>.*)$"


@pytest.mark.parametrize(
    ("config", "line", "said"),
    [
        (RegexParse(pattern=HEAD), "a b warn [x] y", "`(?P<level>[A-Z]+)` finds nothing at column 5, 'warn [x] y'"),
        (RegexParse(pattern=HEAD), "é b INFO x", "`\\[` finds nothing at column 10, 'x'"),
        (RegexParse(pattern=HEAD), "a b", "` ` finds nothing at the end of the line"),
        (RegexParse(pattern=r"(?P<n>\d+)x"), "no digits", r"`(?P<n>\d+)` finds nothing in it"),
        (RegexParse(pattern=r"(?P<a>\d)|(?P<b>x)"), "no", r"`(?P<a>\d)|(?P<b>x)` finds nothing in it"),
        (LogfmtParse(), "a=1 and b=2", "no pair `key=value` begins with 'and b=2'"),
        (LogfmtParse(), "", "there is nothing in it"),
        (KeyValueParse(between=": "), "words", "there is no key with ': ' behind it"),
        (CsvParse(columns=["a", "b"]), "1,2,3", "it has 3 values, and there are 2 columns"),
        (CsvParse(columns=["a", "b"]), '1,"2', "it is no row: unexpected end of data"),
    ],
)
def test_it_says_where_a_line_goes_another_way(config: ParseConfig, line: str, said: str) -> None:
    """The part of the pattern that finds nothing, and the place in the line; the count of values; what is no pair."""
    assert why(config, line) == said


@pytest.mark.parametrize(
    ("expression", "pieces"),
    [
        (r"^a\d+?(?P<x>(?:b|c){2,3})[^])]\]$", ["^", "a", r"\d+?", "(?P<x>(?:b|c){2,3})", "[^])]", r"\]", "$"]),
        (r"[[:alpha:]]*\p{Greek}+\(", ["[[:alpha:]]*", r"\p{Greek}+", r"\("]),
        (r"a|b", ["a|b"]),
        (r"\Qa(b\E", [r"\Qa(b\E"]),
        (r"(?i)ab", ["(?i)", "a", "b"]),
    ],
)
def test_patterns_are_cut_between_what_belongs_together(expression: str, pieces: list[str]) -> None:
    """A group with all that is in it, a character class, an escape, each with its repeat."""
    pattern.compile(expression)
    assert pieces_of(expression) == pieces


@given(st.text(st.sampled_from(r"ab()[]\{}1,|*+?^$.-P<:"), max_size=20), st.text(max_size=20))
def test_any_pattern_and_line_are_explained(expression: str, line: str) -> None:
    """Nothing raises, and nothing of the pattern is left out."""
    try:
        pattern.compile(expression)
    except ValueError:
        return
    assert "".join(pieces_of(expression)) == expression
    if expression:
        assert why(RegexParse(pattern=expression), line)
