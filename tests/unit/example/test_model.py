"""The example model learns, answers over HTTP, and logs what it answered."""

import http.client
import json
import logging
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.model.classifier import NaiveBayes
from examples.model.iris import FEATURES, load
from examples.model.server import MAX_BODY_BYTES, ModelServer, set_up_logging, train

FLOWER = dict(zip(FEATURES, (5.1, 3.5, 1.4, 0.2), strict=True))
CENTIMETRES = st.floats(min_value=-1e6, max_value=1e6)


def test_data_set_is_whole() -> None:
    """150 flowers, 50 of each species, 30 of them kept for the test."""
    known, unseen = load()
    assert (len(known.rows), len(unseen.rows)) == (120, 30)
    species = known.species + unseen.species
    assert {name: species.count(name) for name in species} == dict.fromkeys(("setosa", "versicolor", "virginica"), 50)


def test_model_is_right_about_flowers_it_has_not_seen() -> None:
    """Nine times out of ten at least."""
    known, unseen = load()
    assert NaiveBayes.fit(*known).accuracy(*unseen) >= 0.9


@given(st.tuples(CENTIMETRES, CENTIMETRES, CENTIMETRES, CENTIMETRES))
def test_probabilities_add_up_to_one(row: tuple[float, float, float, float]) -> None:
    """Also for flowers as large as a mountain, where every likelihood underflows."""
    probabilities = NaiveBayes.fit(*load()[0]).probabilities(row)
    assert math.isclose(sum(probabilities.values()), 1.0)
    assert all(0.0 <= value <= 1.0 for value in probabilities.values())


@pytest.fixture
def model_log(tmp_path: Path) -> Iterator[Path]:
    """Where the model logs to, for one test."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    set_up_logging(tmp_path / "logs" / "model.log")
    yield tmp_path / "logs" / "model.log"
    root.setLevel(level)
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()


def _ask(body: bytes) -> tuple[int, Any]:
    with ModelServer(train()) as server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
            connection.request("POST", "/predict", body, {"X-Request-Id": "r-1"})
            answer = connection.getresponse()
            found = answer.status, json.loads(answer.read())
            connection.close()
        finally:
            server.shutdown()
            answering.join()
    return found


@pytest.mark.parametrize(
    ("body", "status", "level", "message"),
    [
        (FLOWER, 200, "INFO", "prediction served"),
        ({"sepal_length": 5.1}, 400, "WARNING", "input refused"),
        ({**FLOWER, "petal_width": "wide"}, 500, "ERROR", "prediction failed"),
        (5, 500, "ERROR", "prediction failed"),
    ],
)
def test_every_answer_is_a_line_of_the_log(
    model_log: Path, body: object, status: int, level: str, message: str
) -> None:
    """With the request's id; an exception with its traceback."""
    assert _ask(json.dumps(body).encode())[0] == status
    trained, line = map(json.loads, model_log.read_text().splitlines())
    assert trained["message"] == "model trained"
    assert (line["level"], line["message"], line["request_id"]) == (level, message, "r-1")
    assert ("exc_info" in line) is (level == "ERROR")
    if status == 200:
        assert line["inputs"] == FLOWER
        assert line["outputs"]["species"] == "setosa"
        assert line["metrics"]["confidence"] == line["outputs"]["probabilities"]["setosa"]
        assert line["latency_ms"] >= 0


def test_body_too_large_is_refused_unread(model_log: Path) -> None:
    """A limit on what comes from outside."""
    assert _ask(b" " * (MAX_BODY_BYTES + 1))[0] == 404
    assert len(model_log.read_text().splitlines()) == 1
