"""The README's table of what happens to bad input and bad surroundings, row by row, on the real agent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent_process import AgentProcess

GOOD = [json.dumps({"level": "INFO", "message": f"good {i}"}).encode() for i in range(20)]


def _local(folder: Path, paths: list[str]) -> dict[str, Any]:
    return {
        "inputs": [{"type": "file", "paths": paths, "scan_interval": "200ms", "partial_after": "200ms"}],
        "outputs": [{"type": "local", "path": str(folder / "store")}],
    }


def _stored(folder: Path) -> list[dict[str, Any]]:
    """Every document in the store, in order."""
    command = [
        sys.executable,
        "-m",
        "agent",
        "search",
        "",
        "--json",
        "--limit",
        "100000",
        "--store",
        str(folder / "store"),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode in (0, 2), done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def _wait(what: Callable[[], bool], agent: AgentProcess, secs: float = 30) -> None:
    deadline = time.monotonic() + secs
    while not what():
        assert time.monotonic() < deadline, agent.log_text()
        time.sleep(0.05)


def _deliver(folder: Path, lines: list[bytes]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The documents made of these lines, and the ledger."""
    (folder / "model.log").write_bytes(b"".join(line + b"\n" for line in lines))
    with AgentProcess(folder, _local(folder, [str(folder / "*.log")])) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(len(lines))
        ledger = agent.ledger()
        assert agent.stop() == 0
    assert ledger["balances"]
    return sorted(_stored(folder), key=lambda d: int(d["log"]["offset"])), ledger


def test_malformed_json_is_kept_as_its_line(tmp_path: Path) -> None:
    """A broken object becomes a message with a mark; its neighbours are untouched."""
    documents, ledger = _deliver(tmp_path, [GOOD[0], b'{"a": 1', GOOD[1]])
    assert [d["message"] for d in documents] == ["good 0", '{"a": 1', "good 1"]
    assert documents[1]["labels"]["parse"] == "failed"
    assert ledger["inputs"]["file"]["noted"]["parse_failed"] == 1


def test_binary_junk_is_kept_visibly_replaced(tmp_path: Path) -> None:
    """Bytes that are not text arrive as a message with replacement characters, and are counted."""
    junk = bytes(b for b in range(256) if b != 10) * 3
    documents, ledger = _deliver(tmp_path, [GOOD[0], junk, GOOD[1]])
    assert len(documents) == 3
    assert documents[1]["message"].count("\ufffd") >= 128 * 3
    assert ledger["inputs"]["file"]["noted"]["invalid_utf8"] == 1


def test_line_of_50_megabytes_is_cut_and_marked(tmp_path: Path) -> None:
    """The first part of a huge line is kept, marked and counted; the file is read on; memory stays bounded."""
    lines = [GOOD[0], b"x" * 50_000_000, GOOD[1]]
    documents, ledger = _deliver(tmp_path, lines)
    assert len(documents) == 3
    assert documents[1]["labels"]["truncated"] == "line"
    assert len(documents[1]["message"]) == 1024**2
    assert documents[2]["message"] == "good 1"
    assert ledger["inputs"]["file"]["noted"]["truncated"] == 1


def test_missing_folder_is_waited_for(tmp_path: Path) -> None:
    """A folder that is not there yet is a warning; files are read once it appears."""
    folder = tmp_path / "later"
    with AgentProcess(tmp_path, _local(tmp_path, [str(folder / "*.log")])) as agent:
        agent.start()
        _wait(lambda: any(line["log.level"] == "warning" for line in agent.log()), agent)
        folder.mkdir()
        (folder / "model.log").write_bytes(b"\n".join(GOOD) + b"\n")
        agent.wait_until_queued_is_zero(20)
        assert agent.stop() == 0
    assert len(_stored(tmp_path)) == 20


def test_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """A file that cannot be read is named in an error; its neighbour is delivered, and the file itself once it can be
    read."""
    (tmp_path / "good.log").write_bytes(b"\n".join(GOOD) + b"\n")
    bad = tmp_path / "bad.log"
    bad.write_bytes(b"\n".join(GOOD) + b"\n")
    bad.chmod(0)
    with AgentProcess(tmp_path, _local(tmp_path, [str(tmp_path / "*.log")])) as agent:
        agent.start(ordinary_rights=True)
        agent.wait_until_queued_is_zero(20)
        _wait(lambda: "bad.log" in agent.log_text(), agent)
        bad.chmod(0o600)
        agent.wait_until_queued_is_zero(40)
        assert agent.stop() == 0
    assert len(_stored(tmp_path)) == 40


def test_full_disk_makes_inputs_wait_and_loses_nothing(tmp_path: Path) -> None:
    """With no room for the queue the agent says so and waits; when there is room again everything arrives once."""
    if os.geteuid() != 0:
        pytest.skip("a disk of a chosen size needs root")
    log = tmp_path / "model.log"
    with AgentProcess(tmp_path, _local(tmp_path, [str(log)])) as agent:
        agent.queue.mkdir()
        agent.start(mount_queue="2m")
        queue = Path(f"/proc/{agent.pid}/root{agent.queue}")
        ballast = queue / "ballast"
        _fill(ballast)
        records = 20_000
        with log.open("wb") as file:
            for n in range(records):
                file.write(b'{"message": "m", "n": %d, "pad": "%s"}\n' % (n, os.urandom(200).hex().encode()))
        _wait(lambda: "The queue cannot be written" in agent.log_text(), agent)
        assert json.loads(agent.get("/readyz"))["queue_trouble"]
        ballast.unlink()
        agent.wait_until_queued_is_zero(records)
        assert agent.ledger()["balances"]
        print(agent.ledger(), agent.log_text())
        assert agent.stop() == 0
    numbers = [d["fields"]["n"] for d in _stored(tmp_path)]
    assert sorted(numbers) == list(range(records))


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_wrong_configuration_key_is_named_with_a_suggestion(tmp_path: Path) -> None:
    """A misspelt key stops the start before anything is touched, with line, column and what was probably meant."""
    file = tmp_path / "agent.yaml"
    file.write_text("model: {name: m}\ninputs: [{type: file, pathes: [/x.log]}]\noutputs: [{type: local}]\n")
    done = subprocess.run([sys.executable, "-m", "agent", "run", "-c", str(file)], capture_output=True, check=False)
    assert done.returncode == 1
    message = done.stderr.decode()
    assert "agent.yaml:2:" in message
    assert "pathes" in message
    assert "did you mean" in message.lower()
    assert "paths" in message
    assert list(tmp_path.iterdir()) == [file]


def test_wrong_password_pauses_the_output_and_loses_nothing(secured_elasticsearch: Any, tmp_path: Path) -> None:
    """A refused password is said clearly by `check --connect` and by the running agent; records wait, and arrive once
    it is mended."""
    log = tmp_path / "model.log"
    log.write_bytes(b"\n".join(GOOD) + b"\n")

    def config(password: str) -> dict[str, Any]:
        output = {
            "type": "elasticsearch",
            "hosts": [secured_elasticsearch.url],
            "username": "writer",
            "password": password,
        }
        delivery = {"backoff_initial": "50ms", "backoff_max": "100ms"}
        inputs = [{"type": "file", "paths": [str(log)], "dataset": "modeltail.password"}]
        return {"inputs": inputs, "outputs": [{**output, "delivery": delivery}]}

    with AgentProcess(tmp_path, config("not-the-password")) as agent:
        checked = subprocess.run(
            [sys.executable, "-m", "agent", "check", "--connect", str(agent.config_file)],
            capture_output=True,
            check=False,
        )
        assert checked.returncode != 0
        assert b"not-the-password" not in checked.stdout + checked.stderr
        agent.start()
        _wait(lambda: json.loads(agent.get("/readyz"))["outputs"]["elasticsearch"]["paused"], agent)
        assert agent.ledger()["outputs"]["elasticsearch"]["queued"] == 20
        assert "not-the-password" not in agent.log_text()
        assert agent.stop() == 0
    with AgentProcess(tmp_path, config("writer-password")) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(20)
        assert agent.ledger()["outputs"]["elasticsearch"]["fates"] == {"delivered": 20}
        assert agent.stop() == 0
