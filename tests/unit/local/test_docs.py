"""The page about searching says what is so."""

import re
from pathlib import Path

import pytest

from agent.query.language import ALIASES, ELSEWHERE, QueryError, parse

PAGE = (Path(__file__).parents[3] / "docs" / "search.md").read_text()


def test_short_names_are_all_there() -> None:
    """The table of names is the table in the code."""
    rows = re.findall(r"^\| `(\w+)` \| (`[\w.`, ]+`) \|$", PAGE, re.MULTILINE)
    assert {name: tuple(places.replace("`", "").split(", ")) for name, places in rows} == ALIASES


def test_places_of_other_names_are_all_there() -> None:
    """The sentence about the model's own names lists where they are looked for."""
    sentence = re.search(r"Any other name.*?\.\n", PAGE, re.DOTALL)
    assert sentence is not None
    assert tuple(re.findall(r"`([\w.]+)`", sentence[0])) == ELSEWHERE


def test_every_term_shown_is_understood() -> None:
    """Terms of the table and queries of the examples can be asked as they stand."""
    shown = re.findall(r"^\| `([^`|]+)` \| (?:with|of|whose|that) ", PAGE, re.MULTILINE)
    shown += re.findall(r"^modeltail search '([^']+)'", PAGE, re.MULTILINE)
    assert len(shown) > 15
    for query in shown:
        parse(query)


def test_the_mistake_shown_is_the_answer() -> None:
    """The sentence in the page is the one that is given."""
    with pytest.raises(QueryError) as raised:
        parse("level:eror")
    assert str(raised.value) in PAGE
