"""``modeltail ledger --verify`` with the real agent: everything is there, or what is missing is named."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent_process import AgentProcess
from tests.servers.elasticsearch import ElasticsearchServer

RECORDS = 20_000
DATASET = "modeltail.verified"
STREAM = f"logs-{DATASET}-default"


def _ledger(agent: AgentProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "agent", "ledger", *arguments, "-c", str(agent.config_file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _write(log: Path, first: int, count: int) -> None:
    with log.open("a") as file:
        file.writelines(json.dumps({"message": f"m {n}", "n": n}) + "\n" for n in range(first, first + count))


def _wait_until_delivered(agent: AgentProcess, records: int) -> None:
    """Until the cursor on disk says so, which is what a verification goes by."""
    deadline = time.monotonic() + 120
    while True:
        output = json.loads(_ledger(agent, "--json").stdout)["outputs"]["es"]
        if output["fates"].get("delivered") == records:
            return
        assert time.monotonic() < deadline, f"{output}\n{agent.log_text()[-3000:]}"
        time.sleep(0.2)


def test_deleted_documents_are_named(elasticsearch: ElasticsearchServer, tmp_path: Path) -> None:
    """20,000 records over a rollover and three kills, most of their segments long deleted, the agent running: all
    there; then three documents are deleted, and exactly these are named."""
    log = tmp_path / "model.log"
    config = {
        "inputs": [{"type": "file", "paths": [str(log)], "dataset": DATASET}],
        "outputs": [
            {"type": "elasticsearch", "id": "es", "hosts": [elasticsearch.url]},
            {"type": "ndjson", "path": str(tmp_path / "out.ndjson")},
        ],
        "queue": {"path": str(tmp_path / "queue"), "min_free": 0, "segment_bytes": 65536},
    }
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        for turn in range(4):
            _write(log, turn * RECORDS // 4, RECORDS // 4)
            agent.wait_until_queued_is_zero((turn + 1) * RECORDS // 4)
            if turn == 1:
                elasticsearch.request("POST", f"/{STREAM}/_rollover")
            else:
                agent.kill()
                agent.start()
        _wait_until_delivered(agent, RECORDS)
        assert list((tmp_path / "queue").glob("receipts-*"))

        whole = _ledger(agent, "--verify", "es")
        assert whole.returncode == 0, whole.stderr
        assert "Nothing is missing." in whole.stdout
        (verdict,) = _objects(_ledger(agent, "--verify", "es", "--json").stdout)
        assert (verdict["verdict"]["expected"], verdict["verdict"]["there"]) == (RECORDS, RECORDS)

        elasticsearch.request("POST", f"/{STREAM}/_refresh")
        deleted = set()
        for number in (7, 9_999, RECORDS - 1):
            query = {"query": {"term": {"fields.n": str(number)}}}
            (hit,) = elasticsearch.request("POST", f"/{STREAM}/_search", query)["hits"]["hits"]
            elasticsearch.request("DELETE", f"/{hit['_index']}/_doc/{hit['_id']}?refresh=true")
            deleted.add(hit["_id"])

        told = _ledger(agent, "--verify", "--json")
        assert told.returncode == 2, told.stderr
        assert "ndjson cannot be asked" in told.stderr
        *missing, end = _objects(told.stdout)
        assert {line["missing"]["id"] for line in missing} == deleted
        assert end["verdict"]["missing"] == {f"{DATASET}-default": 3}
        assert end["verdict"]["there"] == RECORDS - 3
        text = _ledger(agent, "--verify", "es").stdout
        assert all(record in text for record in deleted)
        assert "3 RECORDS ARE MISSING." in text
        assert agent.stop() == 0
        assert _ledger(agent, "--verify", "es").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--verify"], 1, "nothing was verified"),
        (["--verify", "stdout"], 1, "cannot be asked"),
        (["--verify", "nobody"], 64, "there is no output 'nobody'"),
        (["--verify", "--from", "soon"], 64, "is not a time"),
        (["--verify", "--from", "1h", "--to", "2h"], 64, "--from must lie before --to"),
        (["--from", "1h"], 64, "go with --verify"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: list[str], status: int, sentence: str, tmp_path: Path) -> None:
    """With the status that belongs to it."""
    (tmp_path / "queue").mkdir()
    config = {"inputs": [{"type": "stdin"}], "outputs": [{"type": "stdout"}]}
    told = _ledger(AgentProcess(tmp_path, config), *arguments)
    assert told.returncode == status
    assert sentence in told.stderr
