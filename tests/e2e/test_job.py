"""``modeltail run --exit-when-idle``: beside a model that ends, the real agent ends by itself, and not too soon."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.e2e.test_stop import _dead_address

RECORDS = 20_000
QUIET = "0.3s"
QUIET_SECS = 0.3


def _agent(folder: Path, **output: Any) -> AgentProcess:
    out = output or {"type": "ndjson", "path": str(folder / "out.ndjson")}
    quick = {"linger": 0, "partial_after": "100ms", "scan_interval": "100ms"}
    inputs = [{"type": "file", "paths": [str(folder / "model.log")], **quick}]
    return AgentProcess(folder, {"inputs": inputs, "outputs": [{"id": "out", **out}]})


def _numbers(folder: Path) -> list[int]:
    return [json.loads(line)["fields"]["n"] for line in (folder / "out.ndjson").read_bytes().splitlines()]


def _stays(agent: AgentProcess, secs: float) -> None:
    """It runs on for that long."""
    end = time.monotonic() + secs
    while time.monotonic() < end:
        assert agent.process.poll() is None, agent.log_text()
        time.sleep(0.02)


def test_agent_ends_when_the_model_has_and_all_is_delivered(tmp_path: Path) -> None:
    """A model starts late, writes, rotates and ends: every record is delivered once, and the status is 0."""
    with _agent(tmp_path) as agent:
        agent.start(f"--exit-when-idle={QUIET}")
        _stays(agent, 4 * QUIET_SECS)  # nothing has been seen yet
        arguments = [str(tmp_path / "model.log"), str(RECORDS), "3", "1.0"]
        subprocess.run([sys.executable, "-m", "tests.e2e.model_log", *arguments], check=True, timeout=60)
        assert agent.process.wait(60) == 0
    assert sorted(_numbers(tmp_path)) == list(range(RECORDS))
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert ledger.outputs["out"].queued == 0


def test_agent_stays_while_a_quiet_model_holds_its_file_open(tmp_path: Path) -> None:
    """A pause longer than the quiet time is no end, as long as the writer is seen; its last words arrive."""
    log = tmp_path / "model.log"
    script = (
        "import sys\nlog = open(sys.argv[1], 'w', buffering=1)\nlog.write('{\"n\": 0}\\n')\n"
        "sys.stdin.read()\nlog.write('{\"n\": 1}')"
    )
    with _agent(tmp_path) as agent:
        agent.start(f"--exit-when-idle={QUIET}")
        model = subprocess.Popen([sys.executable, "-c", script, str(log)], stdin=subprocess.PIPE)
        try:
            agent.wait_until_queued_is_zero(1)
            _stays(agent, 6 * QUIET_SECS)
        finally:
            model.communicate()
        assert agent.process.wait(60) == 0
    assert _numbers(tmp_path) == [0, 1]


def test_agent_stays_while_a_rotated_file_is_held_open(tmp_path: Path) -> None:
    """A model that has not noticed the rotation yet still writes to the old file."""
    log = tmp_path / "model.log"
    with _agent(tmp_path) as agent:
        with log.open("wb", buffering=0) as held:
            held.write(b'{"n": 0}\n')
            agent.start(f"--exit-when-idle={QUIET}")
            agent.wait_until_queued_is_zero(1)
            log.rename(tmp_path / "model.log.1")
            log.write_bytes(b'{"n": 1}\n')
            agent.wait_until_queued_is_zero(2)
            _stays(agent, 6 * QUIET_SECS)
            held.write(b'{"n": 2}\n')
        assert agent.process.wait(60) == 0
    assert sorted(_numbers(tmp_path)) == [0, 1, 2]


def test_input_that_is_given_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """A job without errors has no error log; one input with something to read is enough."""
    (tmp_path / "model.log").write_bytes(b'{"n": 0}\n')
    inputs = [
        {"type": "file", "paths": [str(tmp_path / "model.log")], "scan_interval": "100ms"},
        {"type": "file", "paths": [str(tmp_path / "errors" / "*.log")], "scan_interval": "100ms"},
    ]
    outputs = [{"type": "ndjson", "path": str(tmp_path / "out.ndjson")}]
    with AgentProcess(tmp_path, {"inputs": inputs, "outputs": outputs}) as agent:
        agent.start(f"--exit-when-idle={QUIET}")
        assert agent.process.wait(60) == 0
    assert _numbers(tmp_path) == [0]


def test_agent_stays_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    """Nobody knows what is in it; once it can be read it is delivered, and the agent ends."""
    (tmp_path / "model.log").write_bytes(b'{"n": 0}\n')
    secret = tmp_path / "second.log"
    secret.write_bytes(b'{"n": 1}\n')
    secret.chmod(0)
    inputs = [{"type": "file", "paths": [str(tmp_path / "*.log")], "linger": 0, "scan_interval": "100ms"}]
    outputs = [{"type": "ndjson", "path": str(tmp_path / "out.ndjson")}]
    with AgentProcess(tmp_path, {"inputs": inputs, "outputs": outputs}) as agent:
        agent.start(f"--exit-when-idle={QUIET}", ordinary_rights=True)
        agent.wait_until_queued_is_zero(1)
        _stays(agent, 6 * QUIET_SECS)
        secret.chmod(0o600)
        assert agent.process.wait(60) == 0
    assert sorted(_numbers(tmp_path)) == [0, 1]


def test_agent_waits_for_a_dead_output_and_a_signal_ends_it(tmp_path: Path) -> None:
    """Not delivered is not done; who does not want to wait says so, and the rest stays in the queue."""
    (tmp_path / "model.log").write_bytes(b'{"n": 0}\n' * 100)
    with _agent(tmp_path, type="elasticsearch", hosts=[_dead_address()]) as agent:
        agent.start(f"--exit-when-idle={QUIET}")
        agent.wait_until_said("An output does not take records; they stay in the queue")
        _stays(agent, 4 * QUIET_SECS)
        assert agent.stop() == 0
        assert agent.said("Stopped")[0]["queued"] == {"out": 100}


def test_pipe_is_idle_when_it_has_ended_and_all_is_delivered(tmp_path: Path) -> None:
    """`model | modeltail run --exit-when-idle` waits for no quiet time, and for a delivery without end."""
    out = tmp_path / "out.ndjson"
    config = {"inputs": [{"type": "stdin", "on_full": "block"}], "outputs": [{"type": "ndjson", "path": str(out)}]}
    agent = AgentProcess(tmp_path, config)
    command = [sys.executable, "-m", "agent", "run", "-c", str(agent.config_file), "--exit-when-idle"]
    lines = b"".join(b'{"n": %d}\n' % n for n in range(1000))
    done = subprocess.run(command, input=lines, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert _numbers(tmp_path) == list(range(1000))


def test_quiet_time_that_is_none_is_refused(tmp_path: Path) -> None:
    """Before anything is started."""
    agent = _agent(tmp_path)
    command = [sys.executable, "-m", "agent", "run", "-c", str(agent.config_file), "--exit-when-idle=soon"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 64
    assert "must be a duration" in done.stderr
    assert not agent.queue.exists()
