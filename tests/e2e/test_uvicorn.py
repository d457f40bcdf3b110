"""A real uvicorn's log, through the real agent with its preset, into the embedded store."""

import http.client
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.e2e.agent_process import AgentProcess

START_SECS = 20.0
REQUESTS = [
    ("GET", "/health?full=1", 200),
    ("POST", "/v2/models/iris/versions/3/infer", 200),
    ("POST", "/v1/models/iris:predict", 200),
    ("GET", "/caf%C3%A9/404", 404),
    ("DELETE", "/299", 299),
]


def _served(log: Path, *options: str) -> None:
    """Serve the requests; everything the server prints is in the log."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.e2e.asgi_model:app",
        "--port",
        "0",
        "--lifespan",
        "off",
        *options,
    ]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            port = _port(log, server)
            for method, target, status in REQUESTS:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request(method, target)
                assert connection.getresponse().status == status
                connection.close()
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


def _port(log: Path, server: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_SECS
    while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return int(found[1])


def _stored(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "agent", "search", "", "--json", "--limit", "0", "--store", str(folder)]
    found = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in found.splitlines()]


@pytest.mark.parametrize("colours", ["--no-use-colors", "--use-colors"])
def test_access_log_of_a_real_uvicorn(tmp_path: Path, colours: str) -> None:
    """Every request is a record with method, path, status, client and the model it was for, coloured or not; the
    server's own messages have its logger's name."""
    log = tmp_path / "model.log"
    _served(log, colours)
    config = {
        "inputs": [{"type": "file", "paths": [str(log)], "preset": "uvicorn"}],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    with AgentProcess(tmp_path, config) as agent:
        agent.start("--exit-when-idle=0.3s")
        assert agent.process.wait(60) == 0
    documents = _stored(tmp_path / "store")
    assert len(documents) == len(log.read_text().splitlines())
    assert {document["log"]["logger"] for document in documents} == {"uvicorn.access", "uvicorn.error"}
    requests = [document for document in documents if document["log"]["logger"] == "uvicorn.access"]
    assert [
        (one["http"]["request"]["method"], one["url"]["path"], one["url"].get("query"), one["http"]["response"])
        for one in requests
    ] == [
        (method, quote(unquote(path)), query or None, {"status_code": status})
        for method, target, status in REQUESTS
        for path, _, query in [target.partition("?")]
    ]
    assert {one["client"]["ip"] for one in requests} == {"127.0.0.1"}
    assert [one["ml"]["model"]["name"] for one in requests] == ["fraud-scorer", "iris", "iris"] + ["fraud-scorer"] * 2
