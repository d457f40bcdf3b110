"""The main job to OpenSearch: an agent killed without warning, a server killed in the middle."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.servers.opensearch import OpensearchServer

RECORDS = 100_000 if os.environ.get("MODELTAIL_SOAK") == "1" else 20_000
WRITING_SECS = 3.0
DATASET = "modeltail.opensearch"
STREAM = f"logs-{DATASET}-default"
PAGE = 10_000


def _numbers(server: OpensearchServer) -> Iterator[int]:
    """The number of every document in the data stream, doubles included."""
    server.request("POST", f"/{STREAM}/_refresh")
    query: dict[str, Any] = {"size": PAGE, "sort": [{"event.id": "asc"}], "_source": ["fields.n"]}
    while hits := server.request("POST", f"/{STREAM}/_search", query)["hits"]["hits"]:
        for hit in hits:
            yield hit["_source"]["fields"]["n"]
        query["search_after"] = hits[-1]["sort"]


def test_killed_agent_and_killed_server_cost_and_double_nothing(opensearch: OpensearchServer, tmp_path: Path) -> None:
    """Agent and server are killed while the model writes; every record is there once, the ledger balances, and its
    verification finds every record."""
    log = tmp_path / "model.log"
    config = {
        "inputs": [{"type": "file", "paths": [str(log)], "dataset": DATASET}],
        "outputs": [{"type": "opensearch", "hosts": [opensearch.url]}],
    }
    writes = [sys.executable, "-m", "tests.e2e.model_log", str(log), str(RECORDS), "3", str(WRITING_SECS)]
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        with subprocess.Popen(writes) as model:
            agent.wait_until_queued_is_zero(RECORDS // 10)
            agent.kill()
            agent.start()
            agent.wait_until_queued_is_zero(RECORDS // 3)
            opensearch.kill()
            agent.kill()
            agent.start()
            assert model.wait(60) == 0
        opensearch.start()
        agent.wait_until_queued_is_zero(RECORDS)
        assert agent.stop() == 0, agent.log_text()
    numbers = list(_numbers(opensearch))
    assert len(numbers) == RECORDS
    assert set(numbers) == set(range(RECORDS))
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["opensearch"].fates == {"delivered": RECORDS}
    command = [sys.executable, "-m", "agent", "ledger", "--verify", "-c", str(agent.config_file)]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert verified.returncode == 0, verified.stderr
    assert "Nothing is missing." in verified.stdout
