"""Lines written by the logging libraries themselves."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import cast

import ecs_logging
import pytest
import structlog
from loguru import logger as loguru_logger
from pythonjsonlogger.json import JsonFormatter
from structlog.typing import Processor

from tests.unit.normalise.documents import document

TAKEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
EXTRA = {"request_id": "r1", "inputs": {"amount": 43.46}, "latency_ms": 37.898, "ab_group": "B"}


@contextmanager
def standard_logger(formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of the standard library that writes to memory."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logger = logging.Logger("scorer.predict", logging.DEBUG)
    logger.addHandler(handler)
    yield logger, out
    handler.close()


def fail(log: Callable[[], None]) -> None:
    """Log while an exception is being handled."""
    try:
        raise ValueError("shapes (3,4) and (5,) not aligned")
    except ValueError:
        log()


@pytest.mark.parametrize(
    "formatter",
    [
        JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
        JsonFormatter("{asctime}{levelname}{name}{message}", style="{", timestamp=True),
        JsonFormatter(
            ["message", "levelname", "name"], timestamp=True, rename_fields={"levelname": "level", "name": "logger"}
        ),
    ],
)
def test_python_json_logger(formatter: JsonFormatter) -> None:
    """The usual formats of python-json-logger, with ``extra``."""
    with standard_logger(formatter) as (logger, out):
        logger.warning("prediction %s", "served", extra=EXTRA)
    found = document(out.getvalue().rstrip("\n"))
    assert found["message"] == "prediction served"
    assert found["log"] == {"level": "warning", "logger": "scorer.predict"}
    assert found["event"] == {"severity": 30, "duration": 37898000}
    assert found["ml"] == {"inference": {"id": "r1"}, "inputs": {"amount": 43.46}}
    assert TAKEN.fullmatch(found["@timestamp"])
    assert found["fields"].items() >= {"ab_group": "B", "latency_ms": 37.898}.items()


def test_python_json_logger_exception() -> None:
    """``exc_info`` becomes the error's type, message and stack trace."""
    with standard_logger(JsonFormatter("%(message)s")) as (logger, out):
        fail(lambda: logger.exception("failed"))
    error = document(out.getvalue().rstrip("\n"))["error"]
    assert (error["type"], error["message"]) == ("ValueError", "shapes (3,4) and (5,) not aligned")
    assert error["stack_trace"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize("stamp", [structlog.processors.TimeStamper(fmt="iso"), structlog.processors.TimeStamper()])
def test_structlog(stamp: structlog.processors.TimeStamper) -> None:
    """structlog's JSON renderer: ``event`` is the message, the time is ISO or a float."""
    out = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    ).bind(logger="scorer")
    log.info("prediction served", **EXTRA)
    fail(lambda: log.exception("failed"))
    served, failed = map(document, out.getvalue().splitlines())
    assert served["message"] == "prediction served"
    assert served["log"] == {"level": "info", "logger": "scorer"}
    assert served["ml"] == {"inference": {"id": "r1"}, "inputs": {"amount": 43.46}}
    assert TAKEN.fullmatch(served["@timestamp"])
    assert served["event"] == {"severity": 20, "duration": 37898000}
    assert failed["log"]["level"] == "error"
    assert failed["error"]["type"] == "ValueError"


def test_loguru_serialized() -> None:
    """The record comes to the top, what is bound too, and what is left stays under ``fields.record``."""
    out = io.StringIO()
    sink = loguru_logger.add(out, serialize=True, format="{message}")
    loguru_logger.bind(**EXTRA, message="mine").success("prediction served")
    fail(lambda: loguru_logger.exception("failed"))
    loguru_logger.remove(sink)
    served, failed = map(document, out.getvalue().splitlines())
    assert served["message"] == "prediction served"
    assert served["log"]["level"] == "info"
    assert served["log"]["logger"] == __name__
    assert served["log"]["origin"]["function"] == "test_loguru_serialized"
    assert served["log"]["origin"]["file"]["name"] == "test_libraries.py"
    assert served["event"] == {"severity": 20, "duration": 37898000}
    assert served["ml"] == {"inference": {"id": "r1"}, "inputs": {"amount": 43.46}}
    assert TAKEN.fullmatch(served["@timestamp"])
    assert served["process"].keys() == {"pid", "name", "thread"}
    assert served["fields"]["level"] == "SUCCESS"
    assert served["fields"]["ab_group"] == "B"
    assert served["fields"]["record"]["extra"] == {"message": "mine"}
    assert served["fields"]["record"]["level"].keys() == {"icon", "no"}
    assert failed["error"]["type"] == "ValueError"
    assert failed["error"]["stack_trace"].startswith("Traceback (most recent call last):\n")


def test_loguru_text() -> None:
    """loguru's own format, as it writes it to a file."""
    out = io.StringIO()
    sink = loguru_logger.add(out)
    loguru_logger.warning("low memory")
    loguru_logger.remove(sink)
    found = document(out.getvalue().rstrip("\n"))
    assert found["message"] == "low memory"
    assert found["log"]["level"] == "warning"
    assert found["log"]["logger"] == __name__
    assert found["log"]["origin"]["function"] == "test_loguru_text"
    assert TAKEN.fullmatch(found["@timestamp"])


def test_ecs_logging_for_the_standard_library() -> None:
    """ecs-logging mixes dotted keys and objects; both land in their places."""
    with standard_logger(ecs_logging.StdlibFormatter()) as (logger, out):
        fail(lambda: logger.exception("failed", extra={"trace.id": "t1", "http": {"request": {"method": "POST"}}}))
    line = out.getvalue().rstrip("\n")
    found = document(line)
    assert found["@timestamp"] == json.loads(line)["@timestamp"]
    assert found["message"] == "failed"
    assert found["log"]["level"] == "error"
    assert found["log"]["logger"] == "scorer.predict"
    assert found["log"]["origin"]["file"]["name"] == "test_libraries.py"
    assert found["process"]["thread"].keys() == {"id", "name"}
    assert found["error"].keys() == {"type", "message", "stack_trace"}
    assert found["trace"] == {"id": "t1"}
    assert found["http"] == {"request": {"method": "POST"}}
    assert found["fields"] == {"ecs.version": json.loads(line)["ecs.version"], "log": {"original": "failed"}}


def test_ecs_logging_for_structlog() -> None:
    """The same from structlog's side."""
    out = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[structlog.processors.add_log_level, cast(Processor, ecs_logging.StructlogFormatter())],
    )
    log.warning("low memory", **{"trace": {"id": "t1"}})
    found = document(out.getvalue().rstrip("\n"))
    assert (found["message"], found["log"]["level"], found["trace"]) == ("low memory", "warning", {"id": "t1"})
    assert TAKEN.fullmatch(found["@timestamp"])


def test_dict_in_a_line() -> None:
    """``print(json.dumps({...}))`` with the standard library's own time."""
    now = datetime(2026, 11, 22, 10, 0, 0, 123456)
    found = document(
        json.dumps({"time": str(now), "severity": "NOTICE", "msg": "served", "prediction": 0.83, "model_name": "iris"})
    )
    assert found == {
        "@timestamp": "2026-11-22T10:00:00.123456Z",
        "labels": {"timezone": "assumed"},
        "message": "served",
        "log": {"level": "info"},
        "event": {"severity": 20},
        "ml": {"outputs": {"value": 0.83}, "model": {"name": "iris"}},
        "fields": {"time": "2026-11-22 10:00:00.123456", "severity": "NOTICE"},
    }
