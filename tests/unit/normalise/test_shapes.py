"""Records whose fields do not lie at the top, and keys that claim the same place."""

from typing import Any

import pytest

from tests.unit.normalise.documents import READ_AT, document

READ = {"@timestamp": READ_AT, "labels": {"timestamp": "read"}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"trace": {"id": "t", "x": 1}}', {"trace": {"id": "t"}, "fields": {"trace": {"x": 1}}}),
        ('{"trace": {"id": "t"}, "trace.id": "u"}', {"trace": {"id": "u"}, "fields": {"trace": {"id": "t"}}}),
        ('{"trace": {"id": "t"}, "trace_id": "u"}', {"trace": {"id": "t"}, "fields": {"trace_id": "u"}}),
        ('{"trace": {"id": [1]}}', {"fields": {"trace.id": [1]}}),
        ('{"trace": {"id": null}}', {"fields": {"trace": {"id": None}}}),
        ('{"trace": {"id": "a", "id": "b"}}', {"trace": {"id": "b"}}),
        ('{"trace": "t"}', {"fields": {"trace": "t"}}),
        ('{"trace": {}}', {"fields": {"trace": {}}}),
        (
            '{"log": {"level": "WARN", "original": "m"}}',
            {
                "log": {"level": "warning"},
                "event": {"severity": 30},
                "fields": {"log.level": "WARN", "log": {"original": "m"}},
            },
        ),
        (
            '{"log": {"origin": {"file": {"name": "a.py", "line": 3}, "x": {}}}}',
            {"log": {"origin": {"file": {"name": "a.py", "line": 3}}}, "fields": {"log": {"origin": {"x": {}}}}},
        ),
        ('{"log": {"origin": "a.py"}}', {"fields": {"log": {"origin": "a.py"}}}),
        ('{"error": "something failed"}', {"fields": {"error": "something failed"}}),
        ('{"error": {"message": {"a":1}, "code": 5}}', {"error": {"message": '{"a":1}'}, "fields": {"error.code": 5}}),
        (
            '{"event": {"action": "predict", "id": "mine"}}',
            {"event": {"action": "predict"}, "fields": {"event": {"id": "mine"}}},
        ),
        (
            '{"event": {"outcome": "success"}, "outcome": "maybe"}',
            {"event": {"outcome": "success"}, "fields": {"outcome": "maybe"}},
        ),
        ('{"event": "served", "message": "m"}', {"message": "m", "fields": {"event": "served"}}),
        ('{"event": "served"}', {"message": "served"}),
        ('{"msg": "a", "message": null}', {"message": "a", "fields": {"message": None}}),
        ('{"msg": "a", "message": "b"}', {"message": "b", "fields": {"msg": "a"}}),
        (
            '{"model": {"name": "m", "version": "1.10", "x": 1}}',
            {"ml": {"model": {"name": "m", "version": "1.10"}}, "fields": {"model": {"x": 1}}},
        ),
        ('{"ml": {"inputs": {"a": 1}, "mine": 2}}', {"ml": {"inputs": {"a": 1}}, "fields": {"ml": {"mine": 2}}}),
        (
            '{"ecs": {"version": "1.6.0"}, "ecs.version": "1.6.0"}',
            {"fields": {"ecs": {"version": "1.6.0"}, "ecs.version": "1.6.0"}},
        ),
        (
            '{"fields": {"a": 1}, "labels": {"parse": "x"}, "labels.parse": "y"}',
            {"fields": {"fields": {"a": 1}, "labels": {"parse": "x"}, "labels.parse": "y"}},
        ),
        (
            '{"data_stream": {"dataset": "mine"}, "host": {"name": "h"}, "event.id": "i"}',
            {"fields": {"data_stream": {"dataset": "mine"}, "host": {"name": "h"}, "event.id": "i"}},
        ),
        ('{"inputs": 1, "features": [2]}', {"ml": {"inputs": {"value": 1}}, "fields": {"features": [2]}}),
        (
            '{"latency_ms": "fast", "duration": 2}',
            {"event": {"duration": 2000000000}, "fields": {"latency_ms": "fast", "duration": 2}},
        ),
        ('{"severity": 3}', {"log": {"level": "error"}, "event": {"severity": 40}, "fields": {"severity": 3}}),
        (
            '{"level": "INFO", "levelno": 20}',
            {"log": {"level": "info"}, "event": {"severity": 20}, "fields": {"levelno": 20}},
        ),
        (
            '{"exc_info": "ValueError: a", "error.type": "Mine"}',
            {"error": {"stack_trace": "ValueError: a", "type": "Mine", "message": "a"}},
        ),
        (
            '{"exc_info": null, "exception": "ValueError: a"}',
            {
                "error": {"stack_trace": "ValueError: a", "type": "ValueError", "message": "a"},
                "fields": {"exc_info": None},
            },
        ),
        ('{"text": "a", "record": {"b": 1}}', {"fields": {"text": "a", "record": {"b": 1}}}),
        ('{"text": "a", "record": "b"}', {"fields": {"text": "a", "record": "b"}}),
        ('{"model": 5, "messages": []}', {"fields": {"model": 5, "messages": []}}),
        (
            '{"model": "m", "usage": {"prompt_tokens": 1.5}}',
            {
                "gen_ai": {"request": {"model": "m"}},
                "ml": {"model": {"name": "m"}},
                "fields": {"gen_ai.usage.input_tokens": 1.5},
            },
        ),
        (
            '{"model": "m", "choices": 1, "outputs": 2}',
            {
                "gen_ai": {"request": {"model": "m"}},
                "ml": {"model": {"name": "m"}, "outputs": {"value": 2}},
                "fields": {"choices": 1},
            },
        ),
        (
            '{"": 1, "a.b": 2, "a": {"b": 3}, "q\\"\\n": 4, "\\u0000": 5, ".": 6}',
            {"fields": {"": 1, "a.b": 2, "a": {"b": 3}, 'q"\n': 4, "\x00": 5, ".": 6}},
        ),
        ('{"a": 1, "a": 2}', {"fields": {"a": 2}}),
        ("{}", {}),
    ],
)
def test_where_a_record_lands(line: str, expected: dict[str, Any]) -> None:
    """A place goes to the first claimant of the right kind; everything else is kept under ``fields``."""
    assert document(line) == READ | expected


def test_time_of_lower_rank_is_taken_when_the_first_is_unreadable() -> None:
    """An unreadable time does not hide a readable one."""
    found = document('{"timestamp": "yesterday", "time": "2026-11-22T10:00:00Z"}')
    assert found == {"@timestamp": "2026-11-22T10:00:00Z", "fields": {"timestamp": "yesterday"}}


def test_user_members_never_overwrite_the_agents() -> None:
    """Keys that look like the agent's own places stay under ``fields``; the document has no key twice."""
    line = (
        '{"fields.a": 1, "a": 2, "labels.timestamp": "x", "event.created": "x", '
        '"log.file.path": "x", "log": {"offset": 1}}'
    )
    assert document(line) == READ | {
        "fields": {
            "fields.a": 1,
            "a": 2,
            "labels.timestamp": "x",
            "event.created": "x",
            "log.file.path": "x",
            "log": {"offset": 1},
        }
    }
