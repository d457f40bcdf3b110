"""The real agent and a real Kafka, either of them killed in the middle."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent_process import AgentProcess
from tests.servers import ServerUnavailable, unavailable
from tests.servers.kafka import KafkaServer, kafka_server, read_topic

RECORDS = 100_000 if os.environ.get("MODELTAIL_SOAK") else 20_000
SECONDS = 3.0
DATASET = "modeltail.killed"


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    """A broker that makes topics by itself, and is killed by these tests."""
    try:
        with kafka_server(auto_create_topics_enable="true") as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


def _agent(folder: Path, server: KafkaServer, topic: str) -> AgentProcess:
    return AgentProcess(
        folder,
        {
            "inputs": [{"type": "file", "paths": [str(folder / "model.log")], "dataset": DATASET}],
            "outputs": [
                {
                    "type": "kafka",
                    "bootstrap": [server.address],
                    "topic": topic,
                    "delivery": {"backoff_initial": "100ms", "backoff_max": "1s", "batch_bytes": "256KiB"},
                }
            ],
        },
    )


def _model(folder: Path) -> "subprocess.Popen[bytes]":
    arguments = [str(folder / "model.log"), str(RECORDS), "1", str(SECONDS)]
    return subprocess.Popen([sys.executable, "-m", "tests.e2e.model_log", *arguments])


def _end(agent: AgentProcess, model: "subprocess.Popen[bytes]", server: KafkaServer, topic: str) -> list[Any]:
    """Wait until all is delivered; what the topic holds then. The ledger balances."""
    assert model.wait(120) == 0
    agent.wait_until_queued_is_zero(RECORDS)
    assert agent.stop() == 0, agent.log_text()
    said = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "--json", "-c", str(agent.config_file)], capture_output=True
    )
    assert said.returncode == 0, said.stderr
    ledger = json.loads(said.stdout)
    assert ledger["balances"]
    assert ledger["outputs"]["kafka"]["fates"] == {"delivered": RECORDS}
    return asyncio.run(read_topic(server.address, topic))


def _numbers(records: list[Any]) -> list[int]:
    return [json.loads(record.value)["fields"]["n"] for record in records]


def test_killed_broker_has_every_record_once(kafka: KafkaServer, tmp_path: Path) -> None:
    """Killed at full work: what was in flight is repeated under the same sequence numbers, so that there are as
    many records as were written. The topic is made by the broker itself, named after the data set."""
    topic = f"logs.{DATASET}"
    with _agent(tmp_path, kafka, "logs.{dataset}") as agent, _model(tmp_path) as model:
        agent.start()
        time.sleep(SECONDS / 4)
        kafka.process.kill()
        kafka.process.start()
        records = _end(agent, model, kafka, topic)
    assert sorted(_numbers(records)) == list(range(RECORDS))


def test_killed_agent_and_killed_broker_lose_nothing(kafka: KafkaServer, tmp_path: Path) -> None:
    """Every record is there; what is there twice has one id, by which a consumer knows it."""
    topic = "both-killed"
    with _agent(tmp_path, kafka, topic) as agent, _model(tmp_path) as model:
        agent.start()
        time.sleep(SECONDS / 4)
        agent.kill()
        agent.start()
        time.sleep(SECONDS / 4)
        kafka.process.kill()
        agent.kill()
        agent.start()
        kafka.process.start()
        records = _end(agent, model, kafka, topic)
    by_id = {dict(record.headers)["event.id"]: record.value for record in records}
    assert sorted(json.loads(value)["fields"]["n"] for value in by_id.values()) == list(range(RECORDS))
    assert all(by_id[dict(record.headers)["event.id"]] == record.value for record in records)
