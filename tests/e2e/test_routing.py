"""``when`` with the real agent: two outputs with opposite queries share the records between them. ``MODELTAIL_SOAK=1``
writes more of them and kills more often."""

import json
import os
import random
import threading
import time
from pathlib import Path

from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_the_store

SOAK = bool(os.environ.get("MODELTAIL_SOAK"))
RECORDS = 100_000 if SOAK else 20_000
KILLS = 15 if SOAK else 4
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "something else")


def _level(n: int) -> str:
    return LEVELS[n % 7 % len(LEVELS)]


def _write(log: Path) -> None:
    with log.open("w") as file:
        for n in range(RECORDS):
            print(json.dumps({"level": _level(n), "message": f"record {n}", "n": n}), file=file)
            if n % 200 == 0:
                file.flush()
                time.sleep(0.02)  # so that there is a middle for the kills to be in


def test_opposite_queries_share_the_records(tmp_path: Path) -> None:
    """Every record is with exactly one of the two, however often the agent is killed: in the store once, in the file at
    least once."""
    log, there, store = tmp_path / "model.log", tmp_path / "out.ndjson", tmp_path / "store"
    config = {
        "inputs": [{"type": "file", "paths": [str(log)]}],
        "outputs": [
            {"type": "local", "path": str(store), "when": "level>=warning"},
            {"type": "ndjson", "path": str(there), "max_bytes": "1GiB", "when": "-level>=warning", "from": "oldest"},
        ],
    }
    rng = random.Random(7)
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        model = threading.Thread(target=_write, args=[log])
        model.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.6))
            agent.kill()
            agent.start()
        model.join()
        agent.wait_until_queued_is_zero(RECORDS)
        metrics = agent.get("/metrics").decode()
        ledger = agent.ledger()
        assert agent.stop() == 0
    severe = sorted(n for n in range(RECORDS) if _level(n) in ("WARNING", "ERROR"))
    others = sorted(set(range(RECORDS)) - set(severe))
    assert sorted(in_the_store(store, RECORDS + 1)) == severe
    assert sorted({json.loads(line)["fields"]["n"] for line in there.read_bytes().splitlines()}) == others
    assert ledger["balances"]
    assert ledger["outputs"]["local"]["fates"] == {"delivered": len(severe), "filtered.when": len(others)}
    assert ledger["outputs"]["ndjson"]["fates"] == {"delivered": len(others), "filtered.when": len(severe)}
    assert f'modeltail_output_records_total{{fate="filtered.when",output="local"}} {len(others)}.0' in metrics
