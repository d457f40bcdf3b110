"""Lines of text: the usual formats, and everything else."""

import logging
import re
from typing import Any

import pytest

from agent.processors.normalise.text import read_line
from tests.unit.normalise.documents import READ_AT, document

TIME = "2026-11-22T10:00:00.123Z"
ASSUMED = {"labels": {"timezone": "assumed"}, "@timestamp": TIME}
READ = {"labels": {"timestamp": "read"}, "@timestamp": READ_AT}
INFO: dict[str, Any] = {"log": {"level": "info"}, "event": {"severity": 20}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("INFO:     Application startup complete.", READ | INFO | {"message": "Application startup complete."}),
        ("CRITICAL: done for", READ | {"log": {"level": "critical"}, "event": {"severity": 50}, "message": "done for"}),
        (
            "INFO:scorer.predict:a: b",
            READ | {"log": {"level": "info", "logger": "scorer.predict"}, "event": {"severity": 20}, "message": "a: b"},
        ),
        ("2026-11-22 10:00:00,123 - INFO - a - b", ASSUMED | INFO | {"message": "a - b"}),
        ("2026-11-22 10:00:00,123 INFO a b", ASSUMED | INFO | {"message": "a b"}),
        ("[2026-11-22 10:00:00,123] INFO in app: a b", ASSUMED | INFO | {"message": "in app: a b"}),
        ("2026-11-22T10:00:00,123 [INFO ] W-9000 MODEL_LOG - a", ASSUMED | INFO | {"message": "W-9000 MODEL_LOG - a"}),
        ("2026-11-22 10:00:00.123 [INFO] a", ASSUMED | INFO | {"message": "a"}),
        (
            "2026-11-22 10:00:00.123 | WARNING  | app.predict:score:41 - low | memory",
            ASSUMED
            | {
                "log": {
                    "level": "warning",
                    "logger": "app.predict",
                    "origin": {"function": "score", "file": {"line": 41}},
                },
                "event": {"severity": 30},
                "message": "low | memory",
            },
        ),
        (
            "2026-11-22 10:00:00,123 +0100 - scorer - ERROR - x",
            {
                "@timestamp": "2026-11-22T10:00:00.123+01:00",
                "log": {"level": "error", "logger": "scorer"},
                "event": {"severity": 40},
                "message": "x",
            },
        ),
        ("\x1b[32mINFO\x1b[0m:     started", READ | INFO | {"message": "started"}),
        ("INFO 11-22 10:00:00 [engine.py:7] a", READ | INFO | {"message": "[engine.py:7] a"}),
        ("I1122 10:00:00.123456 1 server.cc:592] a", READ | INFO | {"message": "server.cc:592] a"}),
        ("2026-02-30 10:00:00,123 - INFO - a", READ | INFO | {"message": "a"}),
    ],
)
def test_format(line: str, expected: dict[str, Any]) -> None:
    """Level, logger, time and message are taken apart; the whole line is kept, as the parts do not give it back."""
    assert document(line) == expected | {"fields": {"line": line}}


@pytest.mark.parametrize(
    "line",
    [
        "Segmentation fault",
        "NOTE: no level",
        "WHATEVER:a:b",
        "2026-11-22",
        "- INFO -",
        "INFO",
        "INFO a",
        "info: a",
        '"a string"',
        "[1, 2]",
        "12",
        "null",
        "  indented",
        "tab\tand \x00 NUL",
        "caf\u00e9 \U0001f600",
        "\\n",
        '","x":"',
        "x" * 100_000,
    ],
)
def test_anything_else_is_the_message(line: str) -> None:
    """A line in no known format is the message, whole; nothing is guessed from it."""
    assert document(line) == READ | {"message": line}


@pytest.mark.parametrize("line", ["\ufeff" + '{"a":1}', "\x00\x00" + '{"a":1}', ' {"a":1}\r'])
def test_marks_before_an_object_do_not_hide_it(line: str) -> None:
    """A byte order mark, and the NULs at the head of a truncated file, belong to no record."""
    assert document(line) == READ | {"fields": {"a": 1}}


@pytest.mark.parametrize(
    "form",
    [
        "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
        "%(levelname)s:%(name)s:%(message)s",
        "%(asctime)s %(levelname)s %(message)s",
    ],
)
def test_standard_library(form: str) -> None:
    """Lines as ``logging`` itself formats them."""
    record = logging.LogRecord("scorer", logging.WARNING, "a.py", 3, "cache %s", ("miss",), None)
    found = document(logging.Formatter(form).format(record))
    assert (found["message"], found["log"]["level"]) == ("cache miss", "warning")
    if "asctime" in form:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["@timestamp"])


def test_time_is_in_the_inputs_zone() -> None:
    """``asctime`` has no zone; the input's ``timezone`` says which it is."""
    assert (
        document("2026-11-22 10:00:00,123 INFO a", timezone="Europe/Paris")["@timestamp"]
        == "2026-11-22T10:00:00.123+01:00"
    )


def test_hostile_line_takes_no_more_than_linear_time() -> None:
    """No format backtracks: a megabyte that almost matches is as quick as its length allows."""
    for line in (
        "2026-11-22 10:00:00,123 - " + "- " * 500_000,
        "[" * 1_000_000,
        "INFO:" + " " * 1_000_000,
        "2026-11-22 10:00:00 " + " " * 1_000_000,
    ):
        assert read_line(line, None, b'""')
