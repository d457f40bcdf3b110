"""The first hop: the agent alone, from the benchmark's file into the log in between."""

import json
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from bench import records
from bench.contenders import runtime
from bench.processes import cpu, running
from bench.workspace import free_port

MAX_SECS = 600.0
_POLL_SECS = 0.2
"""Each look at its ledger costs the agent a millisecond or so."""


def fill(count: int, output: Mapping[str, object], within: Path) -> tuple[float, float]:
    """Have the agent send so many records to an output; seconds and CPU-seconds of that, its start included."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sidecar-", dir=within) as folder:
        work = Path(folder)
        config = {
            "model": {"name": "fraud-scorer", "version": "3.2.0"},
            "inputs": [{"type": "file", "paths": [str(records.cached_file(count))]}],
            "outputs": [{"id": "log", **output}],
            "queue": {"path": str(work / "queue"), "min_free": 0},
            "status": {"port": port},
        }
        (work / "agent.json").write_text(json.dumps(config))
        begun = time.monotonic()
        with running([runtime(), "-m", "agent", "run", "-c", str(work / "agent.json")], work / "log") as agent:
            while _delivered(port) < count:
                if agent.poll() is not None or time.monotonic() > begun + MAX_SECS:
                    raise SystemExit(f"the agent did not deliver:\n{(work / 'log').read_text()[-2000:]}")
                time.sleep(_POLL_SECS)
            return time.monotonic() - begun, cpu(agent.pid).total


def _delivered(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ledger", timeout=10) as answer:
            ledger = json.load(answer)
    except OSError:  # it does not listen yet
        return 0
    delivered: int = ledger["outputs"]["log"]["fates"].get("delivered", 0)
    return delivered
