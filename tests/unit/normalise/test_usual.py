"""The accelerator comes to the same bytes as every other way, and gets out of the way when lines change."""

import json

import pytest
from hypothesis import assume, given, settings

from agent.processors.normalise import Normaliser
from agent.processors.normalise.usual import REST, SETTLED, UsualKeys
from agent.record import Batch
from agent.render import render
from tests.unit.normalise.documents import RUN, batch_of
from tests.unit.normalise.test_paths_agree import mixed_lines

MANY = 300
"""Lines enough for a chunk to speak for its source."""


def _settled(line: bytes) -> Normaliser:
    """A normaliser that has seen nothing but lines like this one for a while."""
    normaliser = Normaliser()
    for _ in range(SETTLED):
        normaliser(batch_of([line] * MANY))
    return normaliser


def _ndjson(normaliser: Normaliser, batch: Batch) -> list[bytes]:
    return [part.lines for part in render(normaliser(batch), RUN, 1)]


@settings(max_examples=300)
@given(mixed_lines())
def test_settled_source_comes_to_the_same_bytes(lines: list[bytes]) -> None:
    """Lines of the usual keys, of others, and rubbish: documents and counts do not depend on what came before."""
    settled = _settled(lines[0])
    assume(settled._usual.keys is not None)
    fresh_batch, settled_batch = batch_of(lines), batch_of(lines)
    assert _ndjson(settled, settled_batch) == _ndjson(Normaliser(), fresh_batch)
    assert settled_batch.counts == fresh_batch.counts


@pytest.mark.parametrize(
    "line",
    [
        b'{"b": 2, "a": 1}',
        b'{"a": 1, "b": 2, "a": 3}',
        b'{"a": 1}',
        b'{"a": 1, "b": 2, "c": 3}',
        b'{"\\u0061": 1, "b": 2}',
        b'{"a": 1, "b": NaN}',
        b'{"a": 1, "b": 2} {"c": 3}',
        b'{"a": 1, "b": 2',
        b'[{"a": 1, "b": 2}]',
        b'{"a": 1, "b": "\xff"}',
        b'{"a": 1, "b": "\\ud800"}',
        b'{"a": 1, "b": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b"",
        b"plain text",
    ],
)
def test_line_that_is_nearly_usual_is_read_like_any_other(line: bytes) -> None:
    """Another order, a repeated, missing, further or escaped key, and what is no strict JSON, among usual lines."""
    lines = [b'{"a": 1, "b": 2}', line, b'{"a": 3, "b": 4}', b'{"a": 5, "b": 6}']
    settled = _settled(lines[0])
    assert settled._usual.keys == ("a", "b")
    assert _ndjson(settled, batch_of(lines)) == _ndjson(Normaliser(), batch_of(lines))


def test_source_that_changed_is_learnt_again_after_a_rest() -> None:
    """The struct is given up when most lines do not fit it, and no other is built at once."""
    usual = UsualKeys()
    known = [_keys_after(usual, ("a",)) for _ in range(SETTLED)]
    assert known[-1] == ("a",)
    records, refused = usual.decode([b'{"x": 1}', b'{"x": 1}', b'{"a": 1}'])
    assert (len(records), refused) == (1, [0, 1])
    known = [_keys_after(usual, ("x",)) for _ in range(REST)]
    assert set(known[:-1]) == {None}
    assert known[-1] == ("x",)


def _keys_after(usual: UsualKeys, seen: tuple[str, ...]) -> tuple[str, ...] | None:
    usual.saw(seen)
    return usual.keys


@pytest.mark.parametrize("keys", [tuple(f"k{i}" for i in range(65)), ('a"b',), ("a\\b",), ("a\nb",), ("\x00",)])
def test_keys_that_make_no_struct_are_left_to_the_ordinary_way(keys: tuple[str, ...]) -> None:
    """Too many keys, and keys that JSON has to escape."""
    line = json.dumps(dict.fromkeys(keys, 1)).encode()
    settled = _settled(line)
    assert settled._usual.keys is None
    assert _ndjson(settled, batch_of([line])) == _ndjson(Normaliser(), batch_of([line]))
