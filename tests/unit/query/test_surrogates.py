"""Half surrogate pairs are mended for looking at, and nothing else is touched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.query.surrogates import mend


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\uDE00 \ud83d"', rb'"\ufffd \ufffd"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\u0041"', rb'"\ufffd\u0041"'),
        (rb'"\\ud83d"', rb'"\\ud83d"'),
        (rb'"\\\ud83d"', rb'"\\\ufffd"'),
        (rb'"\"\u00e9"', rb'"\"\u00e9"'),
    ],
)
def test_half_pairs_are_mended(written: bytes, mended: bytes) -> None:
    """Only halves change; an escaped backslash before a u is no escape of a character."""
    assert mend(written) == mended


@given(st.text(st.characters()))
def test_mended_text_is_what_utf16_says(text: str) -> None:
    """Any string that Python can write comes out as decoding its UTF-16 with replacement gives it."""
    expected = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(mend(json.dumps(text).encode())) == expected
