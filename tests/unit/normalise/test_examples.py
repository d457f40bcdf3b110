"""The pairs of the document's specification: what goes in, what comes out."""

from typing import Any

import pytest

from agent.processors.normalise import Normaliser
from agent.record import Counts
from tests.unit.normalise.documents import READ_AT, batch_of, document, documents

IDENTITY = {
    "ml.model.name": b'"fraud-scorer"',
    "ml.model.version": b'"3.2.0"',
    "host.name": b'"node-0001"',
    "service.name": b'"fraud-scorer"',
    "service.environment": b'"prod"',
}
INFERENCE = (
    '{"timestamp": "2026-11-22T10:00:00.123456Z", "level": "INFO", "logger": "scorer.predict", '
    '"message": "prediction served", "request_id": "a6a3a450", "inputs": {"amount": 43.46, "country": "FR"}, '
    '"outputs": {"label": "ok", "score": 0.059111}, "metrics": {"confidence": 0.5655}, "latency_ms": 37.898, '
    '"batch_size": 1, "ab_group": "B"}'
)


def test_inference_record_becomes_the_document() -> None:
    """Every field of the usual record lands in its place, and what has none under ``fields``."""
    (found,) = documents([INFERENCE], IDENTITY)
    assert found == {
        "@timestamp": "2026-11-22T10:00:00.123456Z",
        "message": "prediction served",
        "log": {"level": "info", "logger": "scorer.predict"},
        "ml": {
            "model": {"name": "fraud-scorer", "version": "3.2.0"},
            "inference": {"id": "a6a3a450", "batch_size": 1},
            "inputs": {"amount": 43.46, "country": "FR"},
            "outputs": {"label": "ok", "score": 0.059111},
            "metrics": {"confidence": 0.5655},
        },
        "event": {
            "id": "019ab2c4d5e60123456789abcdef-1-0",
            "created": READ_AT,
            "dataset": "modeltail.inference",
            "severity": 20,
            "duration": 37898000,
        },
        "data_stream": {"type": "logs", "dataset": "modeltail.inference", "namespace": "default"},
        "ecs": {"version": "9.2.0"},
        "host": {"name": "node-0001"},
        "service": {"name": "fraud-scorer", "environment": "prod"},
        "fields": {"ab_group": "B", "latency_ms": 37.898},
    }


READ = {"@timestamp": READ_AT, "labels": {"timestamp": "read"}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "2026-11-22 10:00:00,123 - scorer - WARNING - cache miss",
            {
                "@timestamp": "2026-11-22T10:00:00.123Z",
                "message": "cache miss",
                "log": {"level": "warning", "logger": "scorer"},
                "event": {"severity": 30},
                "labels": {"timezone": "assumed"},
                "fields": {"line": "2026-11-22 10:00:00,123 - scorer - WARNING - cache miss"},
            },
        ),
        ("Segmentation fault", READ | {"message": "Segmentation fault"}),
        ('{"level": 30}', READ | {"log": {"level": "warning"}, "event": {"severity": 30}, "fields": {"level": 30}}),
        ('{"level": {"a": 1}}', READ | {"fields": {"level": {"a": 1}}}),
        ('{"message": {"a":1}}', READ | {"message": '{"a":1}'}),
        ('{"inputs": [1, 2, 3]}', READ | {"ml": {"inputs": {"value": [1, 2, 3]}}}),
        ('{"inputs": "a prompt"}', READ | {"ml": {"inputs": {"value": "a prompt"}}}),
        ('{"metrics": 0.5}', READ | {"ml": {"metrics": {"value": 0.5}}}),
        ('{"score": NaN}', READ | {"fields": {"score": "NaN"}}),
        (
            '{"timestamp": 1763805600123}',
            {"@timestamp": "2025-11-22T10:00:00.123Z", "fields": {"timestamp": 1763805600123}},
        ),
        ('{"timestamp": "yesterday"}', READ | {"fields": {"timestamp": "yesterday"}}),
        (
            '{"host": "h", "ml": "x", "event": [1]}',
            READ | {"fields": {"host": "h", "ml": "x", "event": [1]}},
        ),
        ('{"trace": {"id": "t1"}}', READ | {"trace": {"id": "t1"}}),
        ('{"trace.id": "t1"}', READ | {"trace": {"id": "t1"}}),
        ('{"error": {"type": "ValueError"}}', READ | {"error": {"type": "ValueError"}}),
        ('{"a": 1', READ | {"message": '{"a": 1', "labels": {"timestamp": "read", "parse": "failed"}}),
    ],
)
def test_pair(line: str, expected: dict[str, Any]) -> None:
    """What is written becomes this."""
    assert document(line) == expected


def test_counts_say_what_was_dropped_and_what_was_marked() -> None:
    """Blank lines are dropped; records whose text had to be changed to be stored are noted, once each."""
    batch = batch_of(["", "  ", b"caf\xe9", '{"a": NaN, "b": [-Infinity]}', '{"a"', "text", "{}"])
    Normaliser()(batch)
    assert batch.counts == Counts(
        accepted=7,
        bytes=batch.counts.bytes,
        dropped={"empty": 2},
        noted={"invalid_utf8": 1, "not_json_nan": 1, "parse_failed": 1},
    )
    assert batch.counts.kept == sum(len(table.rows) for table in batch.tables)


def test_llm_call_lands_in_gen_ai() -> None:
    """A body in OpenAI's style: the model asked for, the tokens used, why it ended, and both payloads."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1763805600,
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "ho"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    }
    assert document(body) == {
        "@timestamp": "2025-11-22T10:00:00Z",
        "ml": {
            "model": {"name": "gpt-4o"},
            "inference": {"id": "chatcmpl-1"},
            "inputs": {"value": [{"role": "user", "content": "hi"}]},
            "outputs": {"value": [{"index": 0, "finish_reason": "stop", "message": {"content": "ho"}}]},
        },
        "gen_ai": {
            "operation": {"name": "chat"},
            "request": {"model": "gpt-4o"},
            "response": {"finish_reasons": ["stop"]},
            "usage": {"input_tokens": 5, "output_tokens": 7},
        },
        "fields": {"object": "chat.completion", "created": 1763805600, "usage": {"total_tokens": 12}},
    }


def test_llm_model_does_not_overrule_the_configured_one() -> None:
    """The model an LLM call asks for names the model only where the configuration does not."""
    (found,) = documents([{"model": "gpt-4o", "messages": []}], IDENTITY)
    assert (found["ml"]["model"]["name"], found["gen_ai"]["request"]["model"]) == ("fraud-scorer", "gpt-4o")


def test_record_says_which_model_answered() -> None:
    """A server of several models names it in each record; that is truer than the configuration."""
    (found,) = documents([{"model_name": "iris", "model_version": 7}], IDENTITY)
    assert found["ml"]["model"] == {"name": "iris", "version": "7"}
    assert found["fields"] == {"model_version": 7}


@pytest.mark.parametrize("count", [1, 2, 3, 700])
def test_result_does_not_depend_on_the_company(count: int) -> None:
    """A record becomes the same document alone, among a few and among many."""
    together = documents([INFERENCE] * count, IDENTITY)
    alone = documents([INFERENCE], IDENTITY)[0]
    for found in together:
        found["event"]["id"] = alone["event"]["id"]
    assert together == [alone] * count
