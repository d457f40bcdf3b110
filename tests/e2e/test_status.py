"""The status endpoint of the real agent, page by page."""

import json
import socket
import subprocess
import sys
import time
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
        assert samples["modeltail_output_queued_bytes", "local"] == 0
        assert samples["modeltail_output_oldest_queued_seconds", "local"] == 0
        assert samples["modeltail_dead_letters", "kept", "local"] == 0
        assert samples["modeltail_input_files", "file"] == 1
        assert samples["modeltail_input_unread_bytes", "file"] == 0
        assert samples["modeltail_input_generations_behind", "file"] == 0
        assert samples["modeltail_input_truncations_total", "file"] == 0
        assert samples["modeltail_store_records_total", "local"] == RECORDS
        assert samples["modeltail_store_removed_records_total", "local"] == 0
        assert agent.stop() == 0


def test_ledger_survives_a_kill(agent: AgentProcess) -> None:
    """What the running agent said is what the disk says: beside it, after SIGKILL, and after the next start."""
    with agent:
        agent.start()
        agent.wait_until_queued_is_zero(RECORDS + 1)
        live = agent.ledger()
        assert live["balances"]
        command = [sys.executable, "-m", "agent", "ledger", "--json", "-c", str(agent.config_file)]
        deadline = time.monotonic() + 30
        while (said := json.loads(subprocess.run(command, capture_output=True, check=False).stdout)) != live:
            assert time.monotonic() < deadline, f"{said} is not {live}"  # a cursor is written twice a second
        agent.kill()
        killed = subprocess.run(command, capture_output=True, check=False)
        assert killed.returncode == 0
        assert json.loads(killed.stdout) == live
        agent.start()
        assert agent.ledger() == live
        assert agent.stop() == 0


def test_backlog_of_a_dead_output_shows(tmp_path: Path) -> None:
    """Records, bytes and age of what waits, while the other output has nothing before it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # nobody listens
        (tmp_path / "model.log").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(RECORDS)))
        config = {
            "inputs": [{"type": "file", "paths": [str(tmp_path / "*.log")]}],
            "outputs": [
                {"type": "elasticsearch", "hosts": [f"http://127.0.0.1:{nobody.getsockname()[1]}"]},
                {"type": "ndjson", "path": str(tmp_path / "out.ndjson")},
            ],
            "grace": "2s",
        }
        with AgentProcess(tmp_path, config) as agent:
            agent.start()
            deadline = time.monotonic() + 60
            while agent.ledger()["outputs"]["ndjson"]["fates"].get("delivered") != RECORDS:
                assert time.monotonic() < deadline, agent.log_text()
                time.sleep(0.05)
            samples = {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in text_string_to_metric_families(agent.get("/metrics").decode())
                for sample in family.samples
            }
            assert samples["modeltail_output_queued_records", "elasticsearch"] == RECORDS
            assert samples["modeltail_output_queued_bytes", "elasticsearch"] > 0
            assert samples["modeltail_output_oldest_queued_seconds", "elasticsearch"] > 0
            assert samples["modeltail_output_queued_bytes", "ndjson"] == 0
            assert samples["modeltail_output_oldest_queued_seconds", "ndjson"] == 0


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
