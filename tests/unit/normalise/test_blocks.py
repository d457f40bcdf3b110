"""Events of several lines: what becomes of the head, and of what follows it."""

import msgspec
import pytest

from agent.processors.normalise import Normaliser
from agent.record import Batch
from tests.unit.assembly.blocks import BLOCKS, CHAINED, GO, GROUP, HEAD, JAVA, PYTHON, TABLE
from tests.unit.normalise.documents import READ_AT, batch_of, bodies, own

ERROR = {"log": {"level": "error"}, "event": {"severity": 40}}


def blocks_of(*events: str) -> Batch:
    """A batch as an input emits it that put lines together."""
    return msgspec.structs.replace(batch_of(events), blocks=True)


def document(event: str) -> dict[str, object]:
    """The document of one event, without what every document has."""
    (body,) = bodies(blocks_of(event))
    return own(msgspec.json.decode(body))


def test_a_traceback_becomes_an_error() -> None:
    """The specification's example: type, message, the block itself; an error, for nothing says otherwise."""
    message = "matmul: Input operand 1 has a mismatch in its core dimension 0"
    assert document(PYTHON) == {
        "@timestamp": READ_AT,
        "message": f"ValueError: {message}",
        "error": {"type": "ValueError", "message": message, "stack_trace": PYTHON},
        "labels": {"timestamp": "read"},
        **ERROR,
    }


def test_the_head_is_read_as_any_line() -> None:
    """It says when, who and how bad; the traceback below is the record's error."""
    head = HEAD.replace("ERROR", "WARNING")
    found = document(f"{head}\n{PYTHON}")
    assert found["@timestamp"] == "2026-11-22T10:00:00.123Z"
    assert found["message"] == "prediction failed"
    assert found["log"] == {"level": "warning", "logger": "scorer"}
    assert found["fields"] == {"line": head}
    assert found["error"]["type"] == "ValueError"  # type: ignore[index]
    assert found["error"]["stack_trace"] == PYTHON  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "type_", "message"),
    [
        ("chained", "RuntimeError", "no such model"),
        ("group", "ExceptionGroup", "two (2 sub-exceptions)"),
        (
            "state_dict",
            "RuntimeError",
            'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "fc.weight".\n'
            "\tsize mismatch for fc.bias: copying a param with shape torch.Size([2])",
        ),
        ("syntax", "SyntaxError", "expected ':'"),
        ("fault", "Fatal Python error", "Segmentation fault"),
        ("java", "java.lang.IllegalStateException", "Model failed to load"),
        ("go", "panic", "runtime error: invalid memory address or nil pointer dereference"),
        ("terminated", "c10::Error", "CUDA error: out of memory"),
        ("kernel", "Assertion", "t >= 0"),
        ("head and java", "java.lang.IllegalStateException", "no"),
        ("head and frames", "java.io.IOException", "no"),
        ("thread", "ValueError", "matmul: Input operand 1 has a mismatch in its core dimension 0"),
    ],
)
def test_what_was_raised(name: str, type_: str, message: str) -> None:
    """Whatever language it was raised in."""
    error = document(BLOCKS[name])["error"]
    assert (error["type"], error["message"]) == (type_, message)  # type: ignore[index]


@pytest.mark.parametrize("name", BLOCKS)
def test_nothing_of_a_block_is_lost(name: str) -> None:
    """Every line of it is in the message, in the trace, or in the line that was recognised."""
    found = document(BLOCKS[name])
    kept = [found["message"], found.get("error", {}).get("stack_trace", ""), found.get("fields", {}).get("line", "")]  # type: ignore[attr-defined]
    text = "\n".join(kept)
    assert [line for line in BLOCKS[name].split("\n") if line not in text] == []


@pytest.mark.parametrize("trace", [PYTHON, CHAINED, GROUP, JAVA, GO])
def test_a_failure_without_a_head_is_an_error(trace: str) -> None:
    """A level is there to be searched for."""
    assert document(trace)["log"] == {"level": "error"}


def test_other_lines_are_more_of_the_message() -> None:
    """A table is no error."""
    found = document(TABLE)
    assert found["log"] == {"level": "info"}
    assert found["message"] == "server.cc:592] \n" + TABLE.partition("\n")[2]
    assert "error" not in found


def test_an_object_over_several_lines_is_an_object() -> None:
    """Written for people to read: its values are as they were, and on one line."""
    found = document('{\n  "level": "INFO",\n  "message": "a\\nb",\n  "inputs": {\n    "x": 1.10\n  }\n}')
    assert found["message"] == "a\nb"
    assert found["ml"] == {"inputs": {"x": 1.10}}
    (body,) = bodies(blocks_of('{\n  "inputs": {\n    "x": 1.10\n  }\n}'))
    assert b'{"x":1.10}' in body
    assert b"\n" not in body


def test_an_object_python_wrote_over_several_lines() -> None:
    """What only Python takes for JSON is tolerated over several lines as on one, and counted."""
    batch = blocks_of('{\n "score": NaN,\n "a": [1,\n 2]\n}')
    Normaliser()(batch)
    assert batch.counts.noted == {"not_json_nan": 1}
    assert document('{\n "score": NaN,\n "a": [1,\n 2]\n}')["fields"] == {"score": "NaN", "a": [1, 2]}


def test_a_broken_object_stays_as_it_is() -> None:
    """Not a character is changed."""
    broken = '{\n  "a": 1,\n  "b": "x\n'
    batch = blocks_of(broken)
    Normaliser()(batch)
    assert batch.counts.noted == {"parse_failed": 1}
    found = document(broken)
    assert (found["message"], found["labels"]) == (broken, {"timestamp": "read", "parse": "failed"})


def test_blocks_and_lines_keep_their_places() -> None:
    """Among lines of any kind each event's columns stay its own; empty ones are counted."""
    batch = blocks_of('{"message": "a"}', f"{HEAD}\n{PYTHON}", " \n ", "text", '{\n"message": "b"}')
    batch.columns = {"log.offset": [b"0", b"1", b"2", b"3", b"4"]}
    found = [msgspec.json.decode(body) for body in bodies(batch)]
    assert [(x["log"]["offset"], x["message"]) for x in found] == [
        (0, "a"),
        (1, "prediction failed"),
        (3, "text"),
        (4, "b"),
    ]
    assert batch.counts.dropped == {"empty": 1}
