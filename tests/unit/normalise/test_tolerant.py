"""Objects that only Python would read, and lines that nobody reads."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.normalise.tolerant import decode, walk


@pytest.mark.parametrize(
    ("line", "members", "not_finite"),
    [
        ('{"a": NaN}', {"a": b'"NaN"'}, True),
        ('{"a":-Infinity,"b":Infinity}', {"a": b'"-Infinity"', "b": b'"Infinity"'}, True),
        ('{"a": [1.10, NaN, {"b":NaN}]}', {"a": b'[1.10, "NaN", {"b":"NaN"}]'}, True),
        ('{"a": ": NaN ,", "b": NaN}', {"a": b'": NaN ,"', "b": b'"NaN"'}, True),
        ('{"a": "\\": NaN,"}', {"a": b'"\\": NaN,"'}, False),
        ('{"a": "\\ud800"}', {"a": b'"\\ud800"'}, False),
        ('{"a": "\\ud800", "b": 1.10 , "c":NaN}', {"a": b'"\\ud800"', "b": b"1.10", "c": b'"NaN"'}, True),
        ('{"\\ud800": 1}', {"\ud800": b"1"}, False),
        ('{"a": "x\ty\x00"}', {"a": b'"x\\u0009y\\u0000"'}, False),
        ('{"a\t": 1}', {"a\t": b"1"}, False),
        ('{"a": 1, "a": "\\ud800"}', {"a": b'"\\ud800"'}, False),
        ("{ }", {}, False),
        ('{"a": "\\ud800", "b": ' + "1" * 5000 + "}", {"a": b'"\\ud800"', "b": b"1" * 5000}, False),
        ('{"a": "\\ud800", "b": {"c": -1.5E+10}}', {"a": b'"\\ud800"', "b": b'{"c": -1.5E+10}'}, False),
    ],
)
def test_tolerated(line: str, members: dict[str, bytes], not_finite: bool) -> None:
    """Constants and control characters are marked; everything else keeps its text."""
    walked = walk(line)
    assert ({key: bytes(value) for key, value in walked.members.items()}, walked.not_finite) == (members, not_finite)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"a"',
        '{"a": 1',
        '{"a": 1,}',
        '{"a": 1}}',
        '{"a": 1} {"b": 2}',
        "{NaN: 1}",
        '{"a": 1, NaN: 1}',
        '{"a": 1 NaN}',
        "{ NaN }",
        '{"a": 1, NaN}',
        '{"a" 1}',
        "{1: 2}",
        '{"a": nan}',
        '{"a": NaNa}',
        '{"a": +Infinity}',
        '{"a": "\\x"}',
        '{"a": 01}',
        "{'a': 1}",
        '{"a": "\\ud800"',
        '{"a": "\\ud800"} x',
        '{"a": "\\ud800", }',
        '{"a": "\\ud800" "b": 1}',
        '{"\\ud800"}',
        '{"\\ud800":}',
        '{"a": "unended',
    ],
)
def test_refused(line: str) -> None:
    """What Python's own ``json`` does not read either is broken."""
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)
    with pytest.raises((ValueError, RecursionError)):
        walk(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=[]), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=[]), max_size=5), JSON, max_size=5))
def test_whatever_python_writes_is_read(record: dict[str, Any]) -> None:
    """Anything ``json.dumps`` makes of a dict is decoded strictly or tolerated, and its values keep their text."""
    line = json.dumps(record)
    try:
        members = decode(line.encode())
    except msgspec.DecodeError:
        members = walk(line).members
    assert list(members) == list(record)
    for key, value in members.items():
        assert json.loads(bytes(value)) == json.loads(json.dumps(record[key]), parse_constant=str)


@given(st.text(alphabet='{}[]:,"\\ NaInfity-1\t\x00ud8', max_size=30))
def test_nothing_but_value_errors_come_out(text: str) -> None:
    """Any line either is an object or raises what the caller expects; what is accepted Python accepts too."""
    try:
        walk("{" + text)
    except (ValueError, RecursionError):
        return
    json.loads("{" + text, strict=False)
