"""A container's log on a node, rotated as the kubelet does it, with the agent killed again and again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from tests.e2e.agent_process import AgentProcess
from tests.e2e.kubelet import failure

EVENTS = 4_000
ROTATIONS = 4
KILLS = 6
SECONDS = 8.0


def _stored(folder: Path) -> list[dict[str, object]]:
    options = ["--json", "--limit", str(EVENTS * 4), "--store", str(folder)]
    said = subprocess.run([sys.executable, "-m", "agent", "search", "", *options], capture_output=True, check=True)
    return [msgspec.json.decode(line) for line in said.stdout.splitlines()]


def test_killed_agent_keeps_every_event_of_a_container_once(tmp_path: Path) -> None:
    """Lines in pieces and tracebacks of two interleaved streams, four rotations with compression, six SIGKILLs: each
    event is stored once and whole, under the pod it came from."""
    link = tmp_path / "containers" / f"scorer-0_ml_server-{'0123456789abcdef' * 4}.log"
    link.parent.mkdir()
    config = {
        "inputs": [
            {"type": "file", "paths": [f"{link.parent}/*.log"], "format": "cri", "multiline": {"flush_after": 30}}
        ],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    rng = random.Random(4)
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        arguments = [str(link), str(EVENTS), str(ROTATIONS), str(SECONDS)]
        with subprocess.Popen([sys.executable, "-m", "tests.e2e.kubelet", *arguments]) as kubelet:
            began = time.monotonic()
            for moment in sorted(rng.uniform(0.5, SECONDS * 0.95) for _ in range(KILLS)):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                agent.kill()
                agent.start()
            assert kubelet.wait(120) == 0
        agent.wait_until_queued_is_zero(EVENTS * 2 - 1)  # the last failure may wait for more of it
        assert agent.stop() == 0, agent.log_text()
    documents = _stored(tmp_path / "store")
    served = [d for d in documents if d["log"]["iostream"] == "stdout"]  # type: ignore[index]
    failed = [d for d in documents if d["log"]["iostream"] == "stderr"]  # type: ignore[index]
    assert sorted(d["fields"]["n"] for d in served) == list(range(EVENTS))  # type: ignore[index]
    assert {d["kubernetes"]["pod"]["name"] for d in documents} == {"scorer-0"}  # type: ignore[index]
    said = {}
    for document in failed:
        line, trace = document["fields"]["line"], document["error"]["stack_trace"]  # type: ignore[index]
        said[int(document["error"]["message"].removeprefix("no "))] = f"{line}\n{trace}"  # type: ignore[index]
    assert len(failed) == EVENTS
    assert said == {n: failure(n) for n in range(EVENTS)}
    assert {len(d["inputs"]["text"]) for d in (x["ml"] for x in served)} == {50, 32768}  # type: ignore[index]
