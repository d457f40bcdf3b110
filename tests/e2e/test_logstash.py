"""The real agent towards real readers of lumberjack, each of them killed while the other is at work."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from tests.e2e.agent_process import AgentProcess
from tests.servers import ServerUnavailable, unavailable
from tests.servers.lumberjack import LumberjackServer, camel, go_lumber

LONG = os.environ.get("MODELTAIL_SOAK") == "1"
RECORDS = 100_000 if LONG else 20_000
ROTATIONS = 2
SECONDS = 20.0 if LONG else 4.0
AWAY_SECS = 0.5
"""How long the server stays away: longer than what is on its way takes to break."""


def _do_harm(agent: AgentProcess, server: LumberjackServer, model: "subprocess.Popen[bytes]") -> None:
    """Kill the one and the other while records are written, each twice."""
    began = time.monotonic()
    for i in range(4):
        time.sleep(max(0.0, began + SECONDS * (i + 1) / 5 - time.monotonic()))
        if i % 2:
            server.process.kill()
            time.sleep(AWAY_SECS)
            server.process.start()
        else:
            agent.kill()
            agent.start()
    assert model.wait(120) == 0


@pytest.mark.parametrize("peer", [go_lumber, camel], ids=["go-lumber", "camel"])
def test_every_record_arrives_over_kills_of_agent_and_server(
    peer: Callable[[Path], AbstractContextManager[LumberjackServer]], tmp_path: Path
) -> None:
    """At least once, repeats under the same id with the same text; the ledger says that each was delivered."""
    log = tmp_path / "model.log"
    try:
        with peer(tmp_path) as server:
            config = {
                "inputs": [{"type": "file", "paths": [str(log)]}],
                "outputs": [{"type": "logstash", "hosts": [server.host]}],
            }
            with AgentProcess(tmp_path, config) as agent:
                agent.start()
                arguments = [str(log), str(RECORDS), str(ROTATIONS), str(SECONDS)]
                model = subprocess.Popen([sys.executable, "-m", "tests.e2e.model_log", *arguments])
                _do_harm(agent, server, model)
                agent.wait_until_queued_is_zero(RECORDS)
                assert agent.stop() == 0, agent.log_text()
                _check_ledger(agent)
            events = server.events()
    except ServerUnavailable as error:
        unavailable(error)
    by_id = {event.record: event.text for event in events}
    assert len(by_id) == RECORDS
    numbers = [msgspec.json.decode(text)["fields"]["n"] for text in by_id.values()]
    assert sorted(numbers) == list(range(RECORDS))
    assert all(by_id[event.record] == event.text for event in events)


def _check_ledger(agent: AgentProcess) -> None:
    """It balances, and says that every record was delivered."""
    said = subprocess.run(
        [sys.executable, "-m", "agent", "ledger", "--json", "-c", str(agent.config_file)],
        capture_output=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    ledger = json.loads(said.stdout)
    assert ledger["balances"]
    assert ledger["inputs"]["file"]["accepted"] == RECORDS
    assert ledger["outputs"]["logstash"]["fates"] == {"delivered": RECORDS}
    assert ledger["outputs"]["logstash"]["queued"] == 0
