"""What inference loggers send, by ``curl`` into the store."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.agent_process import AgentProcess

KSERVE = {
    "Content-Type": "application/json",
    "Ce-Specversion": "1.0",
    "Ce-Id": "5f0c2b6e",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Time": "2026-11-22T10:00:00.123456789Z",
    "Ce-Inferenceservicename": "sklearn-iris",
    "Ce-Namespace": "kserve-test",
}
TYPE = "org.kubeflow.serving.inference."


def _post(address: str, headers: dict[str, str], body: object) -> tuple[int, Any]:
    """The status and the answer."""
    options = [option for name, value in headers.items() for option in ("--header", f"{name}: {value}")]
    command = ["curl", "--silent", "--write-out", "\n%{http_code}", *options, "--data-binary", json.dumps(body)]
    answer, status = subprocess.run([*command, f"http://{address}/"], capture_output=True, check=True).stdout.split(
        b"\n"
    )
    return int(status), json.loads(answer)


def _found(store: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "agent", "search", "", "--json", "--store", str(store)]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()]


def test_request_and_response_are_found_under_one_id(tmp_path: Path) -> None:
    """Binary mode, as KServe sends the two; an event without a required attribute is refused by its name."""
    config = {
        "inputs": [{"type": "http", "listen": "127.0.0.1:0"}],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    tensor = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        agent.wait_until_said("An input is listening")
        address = agent.said("An input is listening")[0]["address"]
        assert _post(address, KSERVE | {"Ce-Type": f"{TYPE}request"}, {"inputs": [tensor]}) == (200, {"accepted": 1})
        assert _post(address, KSERVE | {"Ce-Type": f"{TYPE}response"}, {"predictions": [0, 1]}) == (
            200,
            {"accepted": 1},
        )
        status, answer = _post(address, KSERVE, {})
        assert status == 400
        assert "`type`" in answer["error"]
        agent.wait_until_queued_is_zero(2)
        assert agent.stop() == 0, agent.log_text()
    records = {found["ml"]["inference"]["phase"]: found for found in _found(tmp_path / "store")}
    assert {found["ml"]["inference"]["id"] for found in records.values()} == {"5f0c2b6e"}
    assert {found["ml"]["model"]["name"] for found in records.values()} == {"sklearn-iris"}
    assert records["request"]["ml"]["inputs"]["x"]["data"] == [1, 2, 3, 4]
    assert records["response"]["ml"]["outputs"] == {"value": [0, 1]}
