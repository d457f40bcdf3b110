"""Which documents a query's tests let through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.query.language import parse
from agent.query.match import matches, may_match

DOCUMENT = (
    b'{"@timestamp":"2026-11-22T10:00:00Z","message":"served","log":{"level":"warning","logger":"scorer.predict"},'
    b'"ml":{"model":{"name":"fraud-scorer","version":"3.10"},"inference":{"id":"4f2a"},'
    b'"outputs":{"label":"fraud","score":0.75,"classes":["ok","fraud"],"big":12345678901234567890123456789,"a.b":{"c.d":1}},'
    b'"inputs":{"text":"caf\\u00e9","note":null}},"event":{"duration":37898000},"fields":{"ab_group":"B","x.y":5,"n":1e400,"half":"a\\ud800"},'
    b'"deep":' + b"[" * 900 + b"]" * 900 + b"}"
)


@pytest.mark.parametrize(
    "text",
    [
        "level:warning", "level>=info", "-level:error", "level<=warning",
        "model:fraud-scorer", "version:3.10", 'version:"3.10"', "logger:scorer.*", "logger:*predict", "logger:s*p*t",
        "ml.outputs.label:fraud", "label:fraud", "ab_group:B", "classes:ok", "x.y:5", "fields.x.y:5",
        "score:0.75", "score:7.5e-1", "score>0.7", "score>=0.75", "score<0.76", "score:0.7..0.8", "score:..1",
        "big:12345678901234567890123456789", "ml.outputs.a.b.c.d:1",
        "latency>30ms", "duration:37898000", "latency:37ms..38ms", "event.duration<1s",
        "text:caf*", 'text:"caf\u00e9"', 'text:"caf"*', "text:caf\u00e9",
        "label:*", "-missing:*", "-note:*", "-label:ok", "id:4f2a", "n>5", "half:a*",
    ],
)  # fmt: skip
def test_document_matches(text: str) -> None:
    """Each of these holds of the document, and the quick look does not miss it."""
    query = parse(text)
    assert matches(query.tests, DOCUMENT)
    assert may_match(query, DOCUMENT)


@pytest.mark.parametrize(
    "text",
    [
        "level:error", "level>warning", "-level>=info", "model:Fraud-Scorer", "version:3.1.0", "logger:predict",
        "label:frau", "classes:o", "score:0.750001", "score>0.75", "score<0.75", "score:0.8..0.9", "label>0",
        "big:12345678901234567890123456780", "latency>1s", "text:cafe", "missing:*", "note:*", "-label:*", "-score>0.7",
        "outputs:fraud",
    ],
)  # fmt: skip
def test_document_does_not_match(text: str) -> None:
    """None of these holds of the document."""
    assert not matches(parse(text).tests, DOCUMENT)


def test_quick_look_rules_out_what_cannot_match() -> None:
    """A text that is nowhere in a document without escapes rules it out; with an escape anything may be there."""
    query = parse("ml.outputs.label:fraud")
    assert not may_match(query, b'{"ml":{"outputs":{"label":"ok"}}}')
    assert not may_match(query, b'{"ml":{"outputs":{"name":"fraud"}}}')
    assert may_match(query, b'{"ml":{"outputs":{"label":"frau\\u0064"}}}')


def test_too_deep_a_document_does_not_match() -> None:
    """A document that cannot be looked into matches neither a test nor its opposite."""
    document = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert not matches(parse("a:1").tests, document)
    assert not matches(parse("-b:1").tests, document)


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]":,a.\\ud800e1-'), max_size=60).map(str.encode))
def test_any_bytes_are_answered(document: bytes) -> None:
    """What is stored can be anything; a test of it says yes or no."""
    for text in ("a:1", "-a:1", "a>1", "a:*", "level:error", 'a:"x"*'):
        assert matches(parse(text).tests, document) in (True, False)
