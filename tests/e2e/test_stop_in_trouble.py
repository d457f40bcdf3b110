"""Stopping the real agent when something is in the way: it ends with status 0 within its grace period, says what it had
to leave, and the next start goes on where it was."""

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess

GRACE_SECS = 4.0
SLACK_SECS = 5.0
"""For a machine that is busy with something else; what hangs here hangs for ever."""


def _config(folder: Path, output: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "inputs": [{"type": "file", "paths": [str(folder / "*.log")], "linger": 0}],
        "outputs": [{"id": "out", **output}],
        "grace": f"{GRACE_SECS}s",
        **more,
    }


def _local(folder: Path) -> dict[str, Any]:
    return {"type": "local", "path": str(folder / "store")}


@contextmanager
def _silent_server() -> Iterator[dict[str, Any]]:
    """An output whose server takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield {"type": "elasticsearch", "hosts": [f"http://127.0.0.1:{server.getsockname()[1]}"]}


def _write(folder: Path, first: int, last: int, filler: int = 0) -> None:
    with (folder / "model.log").open("ab") as log:
        for n in range(first, last):
            log.write(b'{"n": %d, "noise": "%s"}\n' % (n, os.urandom(filler).hex().encode()))


def _stop_within_grace(agent: AgentProcess) -> dict[str, Any]:
    """Stop it; what its last line says."""
    began = time.monotonic()
    assert agent.stop() == 0, agent.log_text()
    assert time.monotonic() - began < GRACE_SECS + SLACK_SECS
    (said,) = agent.said("Stopped")
    return said


def _delivered_by_the_next_start(agent: AgentProcess, folder: Path, records: int) -> None:
    """Start again with an output that works: every record written is there once."""
    with AgentProcess(folder, _config(folder, _local(folder))) as again:
        again.start()
        again.wait_until_queued_is_zero(records)
        assert again.stop() == 0
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert {line.accepted for line in ledger.inputs.values()} == {records}
    assert ledger.outputs["out"].fates == {"delivered": records}


def _wait_until_appended(agent: AgentProcess, records: int) -> None:
    deadline = time.monotonic() + 60
    while agent.ledger()["appended"] < records:
        assert time.monotonic() < deadline, agent.log_text()
        time.sleep(0.02)


def test_hanging_connection_is_cut_when_the_outputs_time_is_over(tmp_path: Path) -> None:
    """A server that takes the request and never answers costs the grace period and no record."""
    _write(tmp_path, 0, 1000)
    with _silent_server() as output, AgentProcess(tmp_path, _config(tmp_path, output)) as agent:
        agent.start()
        _wait_until_appended(agent, 1000)
        said = _stop_within_grace(agent)
        assert said["forced"] == ["deliver:out"]
        assert said["queued"] == {"out": 1000}
        assert said["spent_secs"]["outputs"] > said["budget_secs"]["outputs"]  # what the inputs did not need
    _delivered_by_the_next_start(agent, tmp_path, 1000)


def test_full_queue_and_dead_output_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """An input that waits for room gives up when its time is over, and reads on from there at the next start."""
    records = 45_000  # of one kilobyte that does not compress: more than the queue takes
    _write(tmp_path, 0, records, filler=1000)
    small = {"path": str(tmp_path / "queue"), "max_bytes": "32MiB", "min_free": 0}
    with _silent_server() as output, AgentProcess(tmp_path, _config(tmp_path, output, queue=small)) as agent:
        agent.start()
        agent.wait_until_said("The queue is full: inputs wait")
        said = _stop_within_grace(agent)
        assert said["forced"] == ["read:file", "deliver:out"]
        assert 0 < said["queued"]["out"] < records
    _delivered_by_the_next_start(agent, tmp_path, records)


def test_disk_that_takes_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """What cannot be written was never accepted: its positions stay before it, and the next start reads it."""
    _write(tmp_path, 0, 3000, filler=1000)
    with _silent_server() as output, AgentProcess(tmp_path, _config(tmp_path, output)) as agent:
        agent.start(under=["prlimit", "--fsize=1000000"])
        agent.wait_until_said("The queue cannot be written; nothing accepted is lost, inputs wait or shed")
        said = _stop_within_grace(agent)
        assert said["forced"] == ["read:file", "deliver:out", "closing"]
        assert agent.said("Closing took too long and was cut short; what was accepted is kept")
    _delivered_by_the_next_start(agent, tmp_path, 3000)


def test_hanging_disk_is_left_behind(tmp_path: Path) -> None:
    """A sync that never returns holds a thread; the process goes without it when its time is over."""
    _write(tmp_path, 0, 1000)
    with AgentProcess(tmp_path, _config(tmp_path, _local(tmp_path))) as agent:
        agent.start(module="tests.e2e.hanging_disk")
        agent.wait_until_queued_is_zero(1000)
        (tmp_path / "hang").touch()
        _write(tmp_path, 1000, 2000)
        _wait_until_appended(agent, 2000)
        said = _stop_within_grace(agent)
        assert "leaving" in said["forced"]
        assert agent.said("Something did not end in time and is left behind; what was accepted is kept")
    _delivered_by_the_next_start(agent, tmp_path, 2000)


def test_second_signal_leaves_a_hanging_disk_behind(tmp_path: Path) -> None:
    """Nobody who asks twice has to wait for a disk."""
    _write(tmp_path, 0, 1000)
    config = _config(tmp_path, _local(tmp_path), grace="600s")
    with AgentProcess(tmp_path, config) as agent:
        agent.start(module="tests.e2e.hanging_disk")
        agent.wait_until_queued_is_zero(1000)
        (tmp_path / "hang").touch()
        _write(tmp_path, 1000, 2000)
        _wait_until_appended(agent, 2000)
        agent.process.send_signal(signal.SIGTERM)
        _wait_until_stopping(agent)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(60) == 0
        assert agent.said("Stopped")[0]["forced"] == ["second signal", "leaving"]
    _delivered_by_the_next_start(agent, tmp_path, 2000)


def _wait_until_stopping(agent: AgentProcess) -> None:
    import urllib.error

    while True:
        try:
            agent.get("/readyz")
        except urllib.error.HTTPError as answer:
            with answer:
                if json.loads(answer.read())["stopping"]:
                    return
        time.sleep(0.02)


def _holds_signals_back(pid: int) -> bool:
    """Whether the process has blocked SIGTERM (proc(5), ``SigBlk``)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False


def test_signal_before_anything_is_loaded_is_answered(tmp_path: Path) -> None:
    """The command holds it back from its first moment; what is there is delivered, and the status is 0."""
    _write(tmp_path, 0, 1000)
    with AgentProcess(tmp_path, _config(tmp_path, _local(tmp_path), grace="30s")) as agent:
        agent.start(wait=False)
        while not _holds_signals_back(agent.pid):
            assert agent.process.poll() is None
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(60) == 0
    assert read_ledger(agent.queue).outputs["out"].fates == {"delivered": 1000}


def test_stop_does_not_wait_for_an_output_that_cannot_say_how_far_it_came(tmp_path: Path) -> None:
    """The start waits for the store's position for ever; a stop ends it, and nothing has been touched."""
    _write(tmp_path, 0, 1000)
    config = _config(tmp_path, _local(tmp_path))
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(1000)
        assert agent.stop() == 0
        (part,) = (tmp_path / "store").glob("part-*.db")
        holder = sqlite3.connect(part, isolation_level=None)
        try:
            holder.execute("PRAGMA locking_mode = EXCLUSIVE")
            holder.execute("BEGIN EXCLUSIVE")
            holder.execute("CREATE TABLE held (something)")
            agent.start(wait=False)
            agent.wait_until_said("An output cannot say how far it came; trying again")
            agent.process.send_signal(signal.SIGTERM)
            assert agent.process.wait(60) == 0
            assert not agent.said("Ready")
            assert agent.said("Stopped")[0]["forced"] == []
        finally:
            holder.close()
    _write(tmp_path, 1000, 1500)
    _delivered_by_the_next_start(agent, tmp_path, 1500)
