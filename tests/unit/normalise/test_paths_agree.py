"""The two paths are one: a record becomes the same bytes by columns and alone. And no value's text is ever altered."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.processors.normalise.spellings import rules
from agent.record import Counts
from tests.unit.normalise.documents import RUN, batch_of, bodies, own

SPELLINGS = sorted(rules(None))
ODD_KEYS = [
    "",
    "a",
    "a.b",
    "fields",
    "labels",
    "log",
    "trace",
    "event",
    "error",
    "ml",
    "model",
    "messages",
    "usage",
    "choices",
    "prompt",
    "object",
    "text",
    "record",
    "host",
    "é",
    "\ud800",
    'q"',
]
VALUES = [
    '"INFO"',
    '"warn"',
    '"2026-11-22T10:00:00.1Z"',
    '"2026-11-22 10:00:00,1"',
    '"2026-11-22T10:00:61Z"',
    "1763805600.25",
    '"text"',
    '""',
    "null",
    "true",
    "30",
    "3",
    "37.898",
    "-1",
    "1e400",
    "1.10",
    "NaN",
    "[-Infinity]",
    "{}",
    '{"a":1}',
    '{"id":"x","level":"WARN"}',
    '{"name":{"a":1}}',
    "[1, 2]",
    '"\\ud800"',
    '"ValueError: a"',
    "12345678901234567890",
    '"tab\there"',
    '{"prompt_tokens":3}',
    '"caf\u00e9"',
    '{"message":"m","level":{"name":"INFO"},"time":{"repr":"x"}}',
    '[{"name":"x","shape":[2, 3],"datatype":"FP32","data":[1.10]}]',
    '"chat.completion"',
]

key = st.sampled_from(SPELLINGS) | st.sampled_from(ODD_KEYS)
shape = st.lists(key, max_size=8)


def line_of(keys: list[str], values: list[str]) -> bytes:
    """An object with these members, as written."""
    members = ",".join(f"{json.dumps(k)}:{v}" for k, v in zip(keys, values, strict=False))
    return f"{{{members}}}".encode()


@st.composite
def mixed_lines(draw: st.DrawFn) -> list[bytes]:
    """Lines of a few shapes among one another, with usual and unusual values, text and rubbish."""
    shapes = draw(st.lists(shape, min_size=1, max_size=3))
    usual = {id(keys): draw(st.lists(st.sampled_from(VALUES), min_size=8, max_size=8)) for keys in shapes}
    lines = []
    for _ in range(draw(st.integers(1, 14))):
        keys = draw(st.sampled_from(shapes))
        values = list(usual[id(keys)])
        for _ in range(draw(st.integers(0, 2))):
            values[draw(st.integers(0, 7))] = draw(st.sampled_from(VALUES))
        lines.append(line_of(keys, values))
    return lines + draw(st.lists(st.sampled_from([b"", b"INFO:a:b", b"{", b"\xff", b'{"a":\xff}', b"[1]"]), max_size=3))


@settings(max_examples=400, deadline=None)
@given(mixed_lines())
def test_columns_and_single_records_come_to_the_same_bytes(lines: list[bytes]) -> None:
    """A batch of mixed records becomes what each of its lines becomes in a batch of its own; so do the counts."""
    batch = batch_of(lines)
    together = bodies(batch)
    alone: list[bytes] = []
    counts = Counts()
    for line in lines:
        single = batch_of([line])
        for body in bodies(single):
            alone.append(body.replace(f"{RUN}-1-0".encode(), f"{RUN}-1-{len(alone):x}".encode()))
        counts.add(single.counts)
    assert together == alone
    assert (batch.counts.dropped, batch.counts.noted) == (counts.dropped, counts.noted)


def test_every_two_spellings_together() -> None:
    """No two keys, whatever places they claim, come to different bytes by columns, nor to a key twice."""
    for pair in itertools.combinations(SPELLINGS, 2):
        line = line_of(list(pair), ['"ValueError: a"', '"20"'])
        alone, *together = (json.loads(body) for lines in ([line], [line] * 3) for body in bodies(batch_of(lines)))
        for found in together:
            assert own(found) == own(alone), pair


@pytest.mark.parametrize("first", ["text", '{"message": 5}', '{"message": "\\ud800"}'])
@pytest.mark.parametrize("count", [1, 3, 600])
def test_documents_keep_the_order_of_the_lines(first: str, count: int) -> None:
    """Records that take different ways through the reading come out in the order they came in."""
    lines = [first, *(f'{{"message": "{i}"}}' for i in range(count)), first]
    found = [json.loads(body)["message"] for body in bodies(batch_of(lines))]
    assert found[1:-1] == [str(i) for i in range(count)]


JSON_TEXT = st.recursive(
    st.sampled_from(
        ["null", "true", "false", "0", "-0", "1.10", "1E+05", "1e400", "-0.0", "1.1099999999999999", "9007199254740993"]
    )
    | st.integers().map(str)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.text(st.characters(exclude_categories=["Cs"])).map(lambda text: json.dumps(text, ensure_ascii=False))
    | st.text(st.characters(exclude_categories=[])).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.text(max_size=4), inner, max_size=3).map(
            lambda members: "{" + ", ".join(f"{json.dumps(name)}: {member}" for name, member in members.items()) + "}"
        )
    ),
    max_leaves=6,
)


def members(text: bytes) -> dict[str, bytes]:
    """Top-level members of an object and their text, sliced by the standard library's decoder alone."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    source = text.decode()
    found: dict[str, bytes] = {}
    at = 1
    while source[at] != "}":
        at += source[at] == ","
        name, at = decoder.raw_decode(source, at)
        _, end = decoder.raw_decode(source, at + 1)
        found[name] = source[at + 1 : end].encode()
        at = end
    return found


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=[]), min_size=1, max_size=5).map(lambda name: "x" + name),
        JSON_TEXT,
        max_size=6,
    ),
    st.integers(1, 5),
)
def test_no_value_is_altered(record: dict[str, str], repeats: int) -> None:
    """Whatever JSON a field holds, its text in the document is the text that was written: digits, escapes, spaces."""
    line = "{" + ",".join(f"{json.dumps(name)}: {value}" for name, value in record.items()) + "}"
    for body in bodies(batch_of([line.encode()] * repeats)):
        fields = members(members(body).get("fields", b"{}"))
        assert fields == {name: value.encode() for name, value in record.items()}


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_any_bytes_become_valid_lines(lines: list[bytes]) -> None:
    """Whatever a line holds, its document is one line of JSON, and nothing but blank lines is missing."""
    batch = batch_of(lines)
    found = bodies(batch)
    assert len(found) == len(lines) - batch.counts.dropped.get("empty", 0)
    for body in found:
        json.loads(body, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
