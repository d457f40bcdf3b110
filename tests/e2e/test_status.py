"""The status endpoint of the real agent, page by page."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent import __version__
from tests.e2e.agent_process import AgentProcess

RECORDS = 50


@pytest.fixture
def agent(tmp_path: Path) -> "AgentProcess":
    """An agent that has delivered some records, one of them broken JSON."""
    lines = [json.dumps({"message": f"m {n}"}).encode() for n in range(RECORDS - 1)] + [b'{"broken": ']
    (tmp_path / "model.log").write_bytes(b"\n".join(lines) + b"\n\n")
    config = {
        "inputs": [{"type": "file", "paths": [str(tmp_path / "*.log")]}],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    return AgentProcess(tmp_path, config)


def test_pages_say_what_is_true(agent: AgentProcess) -> None:
    """Healthy, ready, a balanced ledger, and metrics that a Prometheus parser reads and that agree with the ledger."""
    with agent:
        agent.start()
        agent.wait_until_queued_is_zero(RECORDS + 1)
        index = json.loads(agent.get("/"))
        assert index["modeltail"] == __version__
        assert set(index["pages"]) == {"/", "/healthz", "/readyz", "/metrics", "/ledger"}
        assert json.loads(agent.get("/healthz")) == {"healthy": True, "problems": []}
        assert json.loads(agent.get("/readyz"))["ready"] is True
        ledger = agent.ledger()
        assert ledger["balances"]
        assert ledger["inputs"]["file"]["dropped"] == {"empty": 1}
        assert ledger["inputs"]["file"]["noted"] == {"parse_failed": 1}
        assert ledger["outputs"]["local"]["fates"] == {"delivered": RECORDS}
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(agent.get("/metrics").decode())
            for sample in family.samples
        }
        assert samples["modeltail_input_records_total", "file"] == RECORDS + 1
        assert samples["modeltail_input_dropped_records_total", "empty", "file"] == 1
        assert samples["modeltail_output_records_total", "delivered", "local"] == RECORDS
        assert samples["modeltail_output_queued_records", "local"] == 0
        assert samples[("modeltail_ledger_balances",)] == 1
        assert samples[("modeltail_queue_trouble",)] == 0
        assert agent.stop() == 0


@pytest.mark.parametrize(("method", "page", "status"), [("GET", "/nothing", 404), ("POST", "/healthz", 405)])
def test_what_there_is_not_is_refused(agent: AgentProcess, method: str, page: str, status: int) -> None:
    """Unknown pages and other methods get an answer that says so."""
    with agent:
        agent.start()
        request = urllib.request.Request(f"{agent.status_address}{page}", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == status
        assert agent.stop() == 0


def test_taken_port_is_a_clear_error(agent: AgentProcess, tmp_path: Path) -> None:
    """A port that cannot be had ends the start with a sentence that names the setting."""
    import subprocess
    import sys

    import yaml

    with agent:
        agent.start()
        assert agent.status_address is not None
        port = int(agent.status_address.rsplit(":", 1)[1])
        second = tmp_path / "second"
        second.mkdir()
        config = yaml.safe_load(agent.config_file.read_text())
        config["status"] = {"port": port}
        config["queue"]["path"] = str(second / "queue")
        config["outputs"][0]["path"] = str(second / "store")
        (second / "agent.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "agent", "run", "-c", str(second / "agent.yaml")]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert done.returncode == 1
        assert f"status.port: cannot listen on 127.0.0.1:{port}" in done.stderr.decode()
        assert agent.stop() == 0
