"""The main job at full speed: a rotating log, an agent killed without warning, a server that goes away. More kills are
in ``test_soak``."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_elasticsearch, stream_of
from tests.servers.elasticsearch import ElasticsearchServer

RECORDS = 200_000
ROTATIONS = 5
KILLS = 5
SECONDS = 9.0


def _model(log: Path) -> "subprocess.Popen[bytes]":
    arguments = [str(log), str(RECORDS), str(ROTATIONS), str(SECONDS)]
    return subprocess.Popen([sys.executable, "-m", "tests.e2e.model_log", *arguments])


def _kill_while_writing(agent: AgentProcess, model: "subprocess.Popen[bytes]", seed: int) -> None:
    """Kill the agent at random moments, starting it again at once, until the model has written everything."""
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0.5, SECONDS * 0.95) for _ in range(KILLS))
    began = time.monotonic()
    for moment in moments:
        time.sleep(max(0.0, began + moment - time.monotonic()))
        agent.kill()
        agent.start()
    assert model.wait(120) == 0


def _check_ledger(agent: AgentProcess, output: str) -> dict[str, Any]:
    """The ledger balances, live and after the stop, and says that every record was delivered."""
    live = agent.ledger()
    assert agent.stop() == 0, agent.log_text()
    said = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "--json", "-c", str(agent.config_file)],
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    ledger: dict[str, Any] = json.loads(said.stdout)
    assert ledger["balances"]
    assert ledger["inputs"]["file"]["accepted"] == RECORDS
    assert ledger["outputs"][output]["fates"] == {"delivered": RECORDS}
    assert ledger["outputs"][output]["queued"] == 0
    assert live["outputs"] == ledger["outputs"]
    return ledger


def _agent_to(server: ElasticsearchServer, folder: Path, log: Path, dataset: str) -> AgentProcess:
    return AgentProcess(
        folder,
        {
            "inputs": [{"type": "file", "paths": [str(log)], "dataset": dataset}],
            "outputs": [{"type": "elasticsearch", "hosts": [server.url]}],
        },
    )


def test_killed_agent_delivers_every_record_once_to_the_oldest_server(
    elasticsearch_8: ElasticsearchServer, tmp_path: Path
) -> None:
    """200,000 records, 5 rotations, 5 SIGKILLs: exactly 200,000 documents, mapped as the template says."""
    server = elasticsearch_8
    dataset = "modeltail.killed"
    log = tmp_path / "model.log"
    with _agent_to(server, tmp_path, log, dataset) as agent:
        agent.start()
        _kill_while_writing(agent, _model(log), seed=1)
        agent.wait_until_queued_is_zero(RECORDS)
        _check_ledger(agent, "elasticsearch")
    numbers = list(in_elasticsearch(server, dataset))
    assert len(numbers) == RECORDS
    assert set(numbers) == set(range(RECORDS))
    (mapping,) = server.request("GET", f"/{stream_of(dataset)}/_mapping").values()
    assert mapping["mappings"]["properties"]["fields"]["type"] == "flattened"
    assert mapping["mappings"]["properties"]["ml"]["properties"]["inputs"]["type"] == "flattened"


def test_server_outage_costs_no_record(elasticsearch: ElasticsearchServer, tmp_path: Path) -> None:
    """Elasticsearch stopped for 30 s in the middle: the same 200,000, once each."""
    dataset = "modeltail.outage"
    log = tmp_path / "model.log"
    with _agent_to(elasticsearch, tmp_path, log, dataset) as agent:
        agent.start()
        model = _model(log)
        time.sleep(SECONDS / 3)
        elasticsearch.stop()
        time.sleep(30)
        elasticsearch.start()
        assert model.wait(120) == 0
        agent.wait_until_queued_is_zero(RECORDS)
        _check_ledger(agent, "elasticsearch")
    numbers = list(in_elasticsearch(elasticsearch, dataset))
    assert len(numbers) == RECORDS
    assert set(numbers) == set(range(RECORDS))
