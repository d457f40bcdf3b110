"""The example configurations are run, not only read."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.agent_process import AgentProcess
from tests.fakes.elasticsearch import FakeElasticsearch

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"


def _moved(name: str, folder: Path, **replaced: str) -> dict[str, object]:
    """The example with its folders below ``folder`` and words replaced: all that keeps it from running here."""
    text = (EXAMPLES / name).read_text()
    for old, new in {"/logs/": f"{folder}/logs/", "/var/lib/modeltail": str(folder), **replaced}.items():
        text = text.replace(old, new)
    config: dict[str, object] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  # the safest: all is text
    config["queue"] = {**config.get("queue", {}), "path": str(folder / "queue"), "min_free": "0"}  # type: ignore[dict-item]
    config["status"] = {"port": "0"}
    return config


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder with a model's log of two lines."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "model.log").write_text('{"message": "one"}\nGET /health\n{"message": "two"}\n')
    return folder


def test_minimal_example_stores_what_it_reads(logs: Path, tmp_path: Path) -> None:
    """The least configuration there is reads a log into the store."""
    config = _moved("minimal.yaml", tmp_path)
    config["outputs"] = [{"type": "local", "path": str(tmp_path / "store")}]
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(3)
        assert agent.stop() == 0


def test_elasticsearch_example_sends_what_it_reads(logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Elasticsearch example, with the fake in place of the cluster, delivers what it does not exclude."""
    monkeypatch.setenv("ES_API_KEY", "a-key-for-tests")

    def run_agent(url: str) -> None:
        hosts = {"https://es-1.example:9200": url, "      - https://es-2.example:9200\n": ""}
        with AgentProcess(tmp_path, _moved("elasticsearch.yaml", tmp_path, **hosts)) as agent:
            agent.start()
            agent.wait_until_queued_is_zero(3)
            ledger = agent.ledger()
            assert ledger["outputs"]["elasticsearch"]["fates"] == {"delivered": 2}
            assert ledger["inputs"]["file"]["dropped"] == {"excluded": 1}
            assert "a-key-for-tests" not in agent.log_text()
            assert agent.stop() == 0

    async def main() -> None:
        async with FakeElasticsearch(authorization="ApiKey a-key-for-tests") as server:
            await asyncio.to_thread(run_agent, server.url)
            assert len(server.documents("logs-modeltail.inference-production")) == 2

    asyncio.run(main())


def test_stdin_example_writes_what_it_is_given(tmp_path: Path) -> None:
    """The standard-input example runs as it is, in a folder of its own."""
    command = [sys.executable, "-m", "agent", "run", "-c", str(EXAMPLES / "stdin.yaml")]
    root = str(EXAMPLES.parents[1])
    done = subprocess.run(
        command, input=b"hello\n", cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, timeout=60, check=False
    )
    assert done.returncode == 0
    (line,) = (tmp_path / "documents.ndjson").read_bytes().splitlines()
    assert json.loads(line)["message"] == "hello"
