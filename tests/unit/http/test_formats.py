"""From bodies to lines: as tables, and for any objects and any bytes."""

import gzip
import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.http import formats
from agent.inputs.http.answers import Refusal, Refused
from agent.inputs.http.body import MAX_MEMBERS, expand
from agent.inputs.http.formats import cuts_of
from agent.inputs.http.media import Media, media_of
from agent.inputs.lines import MAX_BATCH_BYTES
from agent.record import MAX_BATCH_RECORDS

MAX_LINE = 1024**2
PRETTY = b'{\n  "a": 1.1099999999999999,\n  "b": [1, {"c": "x\\n"}]\n}\n'
PRETTY_NAN = b'{\n  "loss": NaN,\n  "n": 1\n}'

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=8)


def read(body: bytes, media: Media, max_line: int = MAX_LINE) -> tuple[list[bytes], list[int]]:
    """The lines taken, and the numbers of what was refused."""
    refused = Refused()
    lines = [line for cut in cuts_of(body, media, max_line, refused) for line in cut.lines]
    assert refused.count >= len(refused.first)
    return lines, [number for number, _ in refused.first]


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("application/json", Media.JSON),
        ("Application/JSON; charset=utf-8", Media.JSON),
        ("application/problem+json", Media.JSON),
        ("application/x-ndjson", Media.LINES),
        ("text/plain", Media.TEXT),
        ('text/plain; charset="UTF-8"', Media.TEXT),
        ("application/x-www-form-urlencoded", Media.UNKNOWN),
        ("", Media.UNKNOWN),
    ],
)
def test_the_content_type_says_what_a_body_is(header: str, media: Media) -> None:
    """Without regard to case and parameters."""
    assert media_of({"Content-Type": header}) is media


@pytest.mark.parametrize(
    ("media", "body", "lines", "refused"),
    [
        (Media.JSON, b"", [], []),
        (Media.JSON, b' {"a":1}\r\n', [b'{"a":1}'], []),
        (Media.JSON, b'\xef\xbb\xbf{"a":1}', [b'{"a":1}'], []),
        (Media.JSON, PRETTY, [b'{"a":1.1099999999999999,"b":[1,{"c":"x\\n"}]}'], []),
        (Media.JSON, PRETTY_NAN, [b'{"loss":"NaN","n":1}'], []),
        (Media.JSON, b'{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}'], []),
        (Media.JSON, b'{"a":1}{"a":2}', [], [1]),
        (Media.JSON, b"3", [], [1]),
        (Media.JSON, b'[{"a":1.10},{}]', [b'{"a":1.10}', b"{}"], []),
        (Media.JSON, b'[\n{"a": 1.10},\n{}\n]', [b'{"a":1.10}', b"{}"], []),
        (Media.JSON, b"[]", [], []),
        (Media.JSON, b"[ ]", [], []),
        (Media.JSON, b'[{"a":1},2,{"a":3}]', [b'{"a":1}', b'{"a":3}'], [2]),
        (Media.JSON, b'[{"a":NaN},2,{\n"a":3}]', [b'{"a":NaN}', b'{"a":3}'], [2]),
        (Media.JSON, b'[{"a":1},{"b":', [b'{"a":1}'], [2]),
        (Media.JSON, b'[{"a":1} {"b":2}]', [b'{"a":1}'], [2]),
        (Media.JSON, b'[{"a":1}] x', [b'{"a":1}'], [2]),
        (Media.JSON, b"[", [], [1]),
        (Media.JSON, b"[" * 100_000, [], [1]),
        (Media.LINES, b'{"a":1}\n\n{"a":2}', [b'{"a":1}', b"", b'{"a":2}'], []),
        (Media.LINES, b'{"a":NaN}\n{"a":\n', [b'{"a":NaN}'], [2]),
        (Media.LINES, b'{"a":1}{"b":2}\n', [], [1]),
        (Media.LINES, b'{"a":' + b"[" * 100_000, [], [1]),
        (Media.TEXT, b"one\r\ntwo", [b"one", b"two"], []),
        (Media.TEXT, b"[INFO] one", [b"[INFO] one"], []),
        (Media.UNKNOWN, b"[INFO] one\ntwo\n", [b"[INFO] one", b"two"], []),
        (Media.UNKNOWN, b'[ {"a":1}]', [b'{"a":1}'], []),
        (Media.UNKNOWN, PRETTY, [b'{"a":1.1099999999999999,"b":[1,{"c":"x\\n"}]}'], []),
    ],
)
def test_bodies(media: Media, body: bytes, lines: list[bytes], refused: list[int]) -> None:
    """What is taken of each, and what is named as refused."""
    assert read(body, media) == (lines, refused)


@pytest.mark.parametrize("media", [Media.JSON, Media.LINES])
def test_json_longer_than_a_line_is_refused(media: Media) -> None:
    """It cannot be cut short and stay what it is."""
    long = b'{"a":"%s"}' % (b"x" * 100)
    assert read(b'{"a":1}\n' + long + b'\n{"a":2}\n', media, 64) == ([b'{"a":1}', b'{"a":2}'], [2])
    assert read(b'[{"a":1},' + long + b"]", Media.JSON, 64) == ([b'{"a":1}'], [2])


@given(objects, st.sampled_from([None, 0, 2]))
def test_objects_are_the_same_in_every_format(records: list[dict[str, Any]], indent: int | None) -> None:
    """As lines, as an array, pretty or not."""
    by_line = "".join(json.dumps(record) + "\n" for record in records).encode()
    array = json.dumps(records, indent=indent).encode()
    lines, refused = read(by_line, Media.LINES)
    assert refused == []
    assert [json.loads(line) for line in lines] == records
    for media in (Media.JSON, Media.UNKNOWN):
        lines, refused = read(array, media)
        assert refused == []
        assert [json.loads(line) for line in lines] == records
        assert not any(b"\n" in line for line in lines)


@given(objects, st.data())
def test_the_careful_way_through_an_array_is_the_quick_one(records: list[dict[str, Any]], data: st.DataObject) -> None:
    """They take the same; and of an array with a broken end both take what comes before the break."""
    text = json.dumps(records)
    lines, _ = read(text.encode(), Media.JSON)
    refused = Refused()
    assert [line for _, line in formats._elements_one_by_one(text, refused)] == lines
    assert refused.count == 0
    cut_off, numbers = read(text[: data.draw(st.integers(1, len(text) - 1))].encode(), Media.JSON)
    assert cut_off == lines[: len(cut_off)]
    assert numbers == [len(cut_off) + 1]


@given(st.binary(max_size=300), st.sampled_from(Media), st.integers(4, 50))
def test_any_bytes_are_read(body: bytes, media: Media, max_line: int) -> None:
    """Whatever a body holds: lines without newlines, within the limits, and nothing else happens."""
    lines, _ = read(body, media, max_line)
    assert not any(b"\n" in line or len(line) > max_line for line in lines)


@given(st.lists(st.text(alphabet="a\u00e9", max_size=20), max_size=30))
def test_text_is_what_was_sent(written: list[str]) -> None:
    """Line by line."""
    body = "".join(line + "\n" for line in written).encode()
    assert read(body, Media.TEXT) == ([line.encode() for line in written], [])


def test_cuts_keep_the_limits_of_a_batch() -> None:
    """Many small objects, and a few large ones."""
    for body in (b"[" + b"{}," * 10_000 + b"{}]", b"[" + b",".join([b'{"a":"%s"}' % (b"x" * 500_000)] * 5) + b"]"):
        cuts = list(cuts_of(body, Media.JSON, MAX_LINE, Refused()))
        assert len(cuts) > 1
        for cut in cuts:
            assert len(cut.lines) <= MAX_BATCH_RECORDS
            assert cut.end - cut.begin <= MAX_BATCH_BYTES


@pytest.mark.parametrize("media", [Media.LINES, Media.JSON, Media.TEXT])
@pytest.mark.parametrize("check", [True, False])
def test_what_may_be_one_batch_is_one(media: Media, check: bool) -> None:
    """When the queue fills up, a body of one batch is taken or turned away; of a larger one a part may be in."""
    line = b'{"a":"%s"}' % (b"x" * 500)
    lines = [line] * (MAX_BATCH_BYTES // (len(line) + 1))
    body = b"[" + b",".join(lines) + b"]" if media is Media.JSON else b"\n".join(lines)
    (cut,) = cuts_of(body, media, MAX_LINE, Refused(), check=check)
    assert cut.lines == lines


def test_an_array_of_countless_elements_is_taken_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All elements at once would take a hundred times the bytes of the body."""
    monkeypatch.setattr(formats, "MAX_ELEMENTS", 10)
    assert read(b"[" + b"{}," * 10_000 + b"{}]", Media.JSON) == ([b"{}"] * 10_001, [])


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd"]), st.integers(0, 100))
def test_any_bytes_are_expanded_or_refused(body: bytes, encoding: str, limit: int) -> None:
    """Never more than the limit comes out."""
    with suppress(Refusal):
        assert len(expand(body, encoding, limit)) <= limit


def test_a_body_of_countless_members_is_refused() -> None:
    """Each costs more than the few bytes it is written with."""
    with pytest.raises(Refusal, match="parts"):
        expand(gzip.compress(b"") * (MAX_MEMBERS + 1), "gzip", 1000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]), st.integers(0, 240), st.integers(0, 255))
def test_a_compressed_body_comes_out_as_it_went_in_or_is_refused(
    body: bytes, encoding: str, at: int, byte: int
) -> None:
    """Also when a byte of it was changed on the way: both formats end with a checksum."""
    sent = bytearray(gzip.compress(body) if encoding == "gzip" else zlib.compress(body))
    assert expand(bytes(sent), encoding, 200) == body
    sent[2 + at % (len(sent) - 2)] = byte  # before that, deflate says whether it has one
    with suppress(Refusal):
        assert expand(bytes(sent), encoding, 200) == body
