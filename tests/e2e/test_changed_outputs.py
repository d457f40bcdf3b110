"""The order of the outputs is changed at every start, and with it the form in which the queue keeps records."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from agent.outputs.s3.contents import documents_in
from tests.e2e.agent_process import AgentProcess
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers import ServerUnavailable, unavailable
from tests.servers.lumberjack import LumberjackServer, go_lumber
from tests.servers.versitygw import KEYS, REGION, Versitygw, versitygw

RECORDS = 30_000
SECONDS = 6.0
BUCKET = "logs"
ORDERS = (
    ("elasticsearch", "s3", "logstash"),
    ("s3", "logstash", "elasticsearch"),
    ("logstash", "elasticsearch", "s3"),
    ("elasticsearch", "logstash", "s3"),
)
QUICK = {"batch_age": "50ms", "batch_records": 3000, "backoff_initial": "50ms", "backoff_max": "1s"}


def _live_through_all_orders(folder: Path, outputs: dict[str, Any], s3: Versitygw, logstash: LumberjackServer) -> None:
    """One life in each order, all but the last ended by a kill. In every other the one or the other destination is
    away, so that records of several forms wait for it."""
    log = folder / "model.log"
    away = [None, s3, logstash.process, None]
    model = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.model_log", str(log), str(RECORDS), "2", str(SECONDS)],
    )
    for order, gone in zip(ORDERS, away, strict=True):
        inputs = [{"type": "file", "paths": [str(log)]}]
        with AgentProcess(folder, {"inputs": inputs, "outputs": [outputs[name] for name in order]}) as agent:
            if gone is not None:
                gone.kill()
            agent.start()
            time.sleep(SECONDS / len(ORDERS))  # the moment is any: the model writes meanwhile
            if order is not ORDERS[-1]:
                agent.kill()
                assert _said(agent, "queue", "verify").returncode == 0
            else:
                assert model.wait(120) == 0
                agent.wait_until_queued_is_zero(RECORDS)
                assert agent.stop() == 0, agent.log_text()
                ledger = json.loads(_said(agent, "ledger", "--json").stdout)
            if gone is not None:
                gone.start()
    assert ledger["balances"]
    assert {name: line["fates"] for name, line in ledger["outputs"].items()} == {
        name: {"delivered": RECORDS} for name in outputs
    }


def _said(agent: AgentProcess, *command: str) -> "subprocess.CompletedProcess[bytes]":
    line = [sys.executable, "-m", "agent", *command, "-c", str(agent.config_file)]
    return subprocess.run(line, capture_output=True, check=False)


def test_every_output_has_every_record_whatever_form_it_lay_in(tmp_path: Path) -> None:
    """Once where ids are recognised, the same text everywhere; the queue is whole after every kill."""

    async def story() -> list[tuple[str, bytes]]:
        async with FakeElasticsearch() as elasticsearch:
            outputs: dict[str, dict[str, Any]] = {
                "elasticsearch": {"hosts": [elasticsearch.url]},
                "s3": {"bucket": BUCKET, "region": REGION, "endpoint": s3.url, **KEYS},
                "logstash": {"hosts": [logstash.host]},
            }
            for name, output in outputs.items():
                output |= {"type": name, "delivery": QUICK}
            await asyncio.to_thread(_live_through_all_orders, tmp_path, outputs, s3, logstash)
            return elasticsearch.documents("logs-modeltail.inference-default")

    try:
        with versitygw(tmp_path) as s3, go_lumber(tmp_path) as logstash:
            (s3.buckets / BUCKET).mkdir()
            indexed = asyncio.run(story())
            files = [path for path in (s3.buckets / BUCKET).rglob("*.gz") if path.is_file()]
            stored = [document for path in files for document in documents_in(path.name, path.read_bytes())]
            events = logstash.events()
    except ServerUnavailable as error:
        unavailable(error)
    there = dict(indexed)
    assert sorted(msgspec.json.decode(document)["fields"]["n"] for _, document in indexed) == list(range(RECORDS))
    assert sorted(stored) == sorted(there.values())
    assert {event.record for event in events} == set(there)
    assert all(there[event.record] == b"{" + event.text.partition(b"},")[2] for event in events)
    assert "already at their first sending" not in (tmp_path / "agent.stderr").read_text()
