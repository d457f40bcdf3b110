"""Stopping the real agent: drained when it can be, in time when it cannot, and nothing accepted is lost either way."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.faults import refuses

RECORDS = 30_000


def _write_log(folder: Path) -> Path:
    log = folder / "model.log"
    with log.open("wb") as file:
        for n in range(RECORDS):
            file.write(b'{"message": "m", "n": %d}\n' % n)
    return log


def _dead_address() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _wait_for_appended(agent: AgentProcess, records: int) -> None:
    deadline = time.monotonic() + 60
    while agent.ledger()["appended"] < records:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _config(folder: Path, output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": [{"type": "file", "paths": [str(folder / "*.log")]}], "outputs": [output], **more}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_what_is_there(tmp_path: Path, signum: signal.Signals) -> None:
    """Lines written just before the signal are read, delivered, and the agent ends with status 0."""
    config = _config(tmp_path, {"type": "local", "path": str(tmp_path / "store")})
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        _write_log(tmp_path)
        agent.process.send_signal(signum)
        assert agent.process.wait(60) == 0
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["local"].fates == {"delivered": RECORDS}
    assert ledger.outputs["local"].queued == 0


def test_what_was_read_last_is_delivered_though_the_next_sync_is_far(tmp_path: Path) -> None:
    """Records written since the last sync of the queue are synced at the end, and go out with the rest."""
    output = {"type": "local", "path": str(tmp_path / "store")}
    log = tmp_path / "model.log"
    with AgentProcess(tmp_path, _config(tmp_path, output)) as agent:
        config = yaml.safe_load(agent.config_file.read_text())
        config["queue"]["sync_interval"] = "1h"
        agent.config_file.write_text(yaml.safe_dump(config))
        agent.start()
        for n in range(1, 4):  # the first two are synced at once: nothing was for a long time
            with log.open("ab") as file:
                file.write(b'{"n": %d}\n' % n)
            _wait_for_appended(agent, n)
        began = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - began < 30
    assert read_ledger(agent.queue).outputs["local"].fates == {"delivered": 3}


def test_dead_server_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With nobody answering, the agent ends well within its grace period, and everything waits in the queue."""
    _write_log(tmp_path)
    output = {
        "type": "elasticsearch",
        "hosts": [_dead_address()],
        "delivery": {"backoff_initial": "60s", "backoff_max": "60s"},
    }
    with AgentProcess(tmp_path, _config(tmp_path, output, grace="20s")) as agent:
        agent.start()
        while (
            agent.ledger()["appended"] < RECORDS
            or not json.loads(agent.get("/readyz"))["outputs"]["elasticsearch"]["trouble"]
        ):
            time.sleep(0.05)
        began = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - began < 20
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["elasticsearch"].queued == RECORDS


def test_writer_that_keeps_writing_is_read_until_the_inputs_time_is_over(tmp_path: Path) -> None:
    """The collector does not stop reading at the signal: what the model still says is delivered, until the inputs'
    budget is spent; what it says after that is for the next start."""
    config = _config(tmp_path, {"type": "local", "path": str(tmp_path / "store")}, grace="4s")
    written, over = 0, threading.Event()

    def write() -> None:
        nonlocal written
        with (tmp_path / "model.log").open("wb", buffering=0) as log:
            while not over.wait(0.005):
                log.write(b'{"n": %d}\n' % written)
                written += 1

    model = threading.Thread(target=write)
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        model.start()
        try:
            agent.wait_until_queued_is_zero(1)
            at_signal = written
            assert agent.stop() == 0
            (said,) = agent.said("Stopped")
        finally:
            over.set()
            model.join()
        assert said["forced"] == ["read:file"]
        assert said["queued"] == {"local": 0}
        ledger = read_ledger(agent.queue)
        assert at_signal < ledger.outputs["local"].fates["delivered"] < written
        agent.start()
        agent.wait_until_queued_is_zero(written)
        assert agent.stop() == 0
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["local"].fates == {"delivered": written}


def test_output_told_to_wait_for_minutes_delivers_at_the_stop(tmp_path: Path) -> None:
    """A pending back-off is cut short: one immediate attempt, which goes through if the server is well again."""

    async def scenario() -> list[tuple[str, bytes]]:
        async with FakeElasticsearch() as server:
            server.faults.append(refuses(429, "busy", retry_after="600"))
            output = {"type": "elasticsearch", "hosts": [server.url]}
            with AgentProcess(tmp_path, _config(tmp_path, output)) as agent:
                await asyncio.to_thread(agent.start)
                _write_log(tmp_path)
                refused = "An output does not take records; they stay in the queue"
                await asyncio.to_thread(agent.wait_until_said, refused)
                assert await asyncio.to_thread(agent.stop) == 0
                assert agent.said("Stopped")[0]["queued"] == {"elasticsearch": 0}
            return server.documents("logs-modeltail.inference-default")

    assert len(asyncio.run(scenario())) == RECORDS


def test_bad_configuration_at_restart_touches_nothing(tmp_path: Path) -> None:
    """The configuration is checked before the queue is opened: the backlog lies there as it was, byte for byte."""
    _write_log(tmp_path)
    output = {"type": "elasticsearch", "id": "out", "hosts": [_dead_address()]}
    with AgentProcess(tmp_path, _config(tmp_path, output)) as agent:
        agent.start()
        while agent.ledger()["appended"] < RECORDS:
            time.sleep(0.02)
        assert agent.stop() == 0
    before = _contents(agent.queue)
    good = agent.config_file.read_text()
    for mistake in ("\nqueue_size: 1GiB\n", "\ngrace: soon\n", "\noutputs: []\n", "\n{"):
        agent.config_file.write_text(good + mistake)
        agent.start(wait=False)
        assert agent.process.wait(60) == 1, agent.log_text()
        assert _contents(agent.queue) == before


def _contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_restart_with_another_configuration_keeps_the_queue(tmp_path: Path) -> None:
    """Other inputs, another output beside the failing one, which is given another address: the backlog is delivered,
    and only to whom it belongs."""
    _write_log(tmp_path)
    failing = {"type": "elasticsearch", "id": "out", "hosts": [_dead_address()]}
    with AgentProcess(tmp_path, _config(tmp_path, failing)) as agent:
        agent.start()
        while agent.ledger()["appended"] < RECORDS:
            time.sleep(0.02)
        assert agent.stop() == 0
    outputs = [
        {"type": "local", "id": "out", "path": str(tmp_path / "store")},
        {"type": "ndjson", "id": "new", "path": str(tmp_path / "new.ndjson")},
    ]
    inputs = [{"type": "file", "id": "other", "paths": [str(tmp_path / "other.txt")]}]
    (tmp_path / "other.txt").write_bytes(b'{"n": 1}\n{"n": 2}\n')
    with AgentProcess(tmp_path, {"inputs": inputs, "outputs": outputs}) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(RECORDS + 2)
        assert agent.stop() == 0
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["out"].fates == {"delivered": RECORDS + 2}
    assert ledger.outputs["new"].fates == {"delivered": 2}


def test_second_signal_ends_at_once_and_loses_nothing(tmp_path: Path) -> None:
    """A drain that hangs on a silent server is ended by a second signal; the next start delivers."""
    _write_log(tmp_path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = _config(tmp_path, {"type": "elasticsearch", "id": "out", "hosts": [address]}, grace="300s")
        with AgentProcess(tmp_path, config) as agent:
            agent.start()
            while agent.ledger()["appended"] < RECORDS:
                time.sleep(0.05)
            agent.process.send_signal(signal.SIGTERM)
            while not json.loads(_answer(agent, "/readyz"))["stopping"]:
                time.sleep(0.05)
            agent.process.send_signal(signal.SIGTERM)
            assert agent.process.wait(20) == 0
    with AgentProcess(
        tmp_path, _config(tmp_path, {"type": "local", "id": "out", "path": str(tmp_path / "store")})
    ) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(RECORDS)
        assert agent.stop() == 0
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["out"].fates == {"delivered": RECORDS}


def _answer(agent: AgentProcess, page: str) -> bytes:
    """A page whatever its status."""
    import urllib.error

    try:
        return agent.get(page)
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.read()


def test_end_of_standard_input_drains_and_ends(tmp_path: Path) -> None:
    """`model | modeltail run` ends by itself once the model has, with every line delivered."""
    out = tmp_path / "documents.ndjson"
    config = {"inputs": [{"type": "stdin", "on_full": "block"}], "outputs": [{"type": "ndjson", "path": str(out)}]}
    agent = AgentProcess(tmp_path, config)
    lines = b"".join(b'{"n": %d}\n' % n for n in range(1000)) + b"the last words, without a newline"
    command = [sys.executable, "-m", "agent", "run", "-c", str(agent.config_file)]
    done = subprocess.run(command, input=lines, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    documents = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert [d["fields"]["n"] for d in documents[:-1]] == list(range(1000))
    assert documents[-1]["message"] == "the last words, without a newline"
