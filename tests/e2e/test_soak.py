"""The main job under the worst treatment: a model that writes and rotates, an agent killed without warning again and
again, at its start, in its recovery, at work, at a rotation, while it deletes. Long with ``MODELTAIL_SOAK=1``.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_elasticsearch, in_the_store
from tests.e2e.soak import Found, Killer, Soak, counted, fill_in
from tests.servers.elasticsearch import ElasticsearchServer

LONG = os.environ.get("MODELTAIL_SOAK") == "1"
KILLS = 200 if LONG else 20
PER_SECOND = 1500
ROTATE_EVERY = 2000
LIMIT_SECS = 1800.0 if LONG else 180.0
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
DATASET = "modeltail.soak"


@contextmanager
def _model(log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Writes until its standard input is closed."""
    options = [str(log), "--per-second", str(PER_SECOND), "--rotate-every", str(ROTATE_EVERY)]
    command = [sys.executable, "-m", "tests.e2e.model_log", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as model:
        try:
            yield model
        finally:
            model.kill()


def test_kills_at_every_moment_cost_nothing_and_double_nothing(
    elasticsearch: ElasticsearchServer, tmp_path: Path
) -> None:
    """Accepted, delivered and written are the same number, at Elasticsearch and in the embedded store; the ledger
    balances, and the agent that is left ends with status 0."""
    seed = int(os.environ.get("MODELTAIL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"soak: seed {seed} (MODELTAIL_SEED repeats the moments)", flush=True)
    log, store = tmp_path / "model.log", tmp_path / "store"
    config = {
        "inputs": [{"type": "file", "paths": [str(log)], "dataset": DATASET}],
        "queue": {"path": str(tmp_path / "queue"), "min_free": 0, "segment_bytes": "64KiB"},
        "outputs": [{"type": "elasticsearch", "hosts": [elasticsearch.url]}, {"type": "local", "path": str(store)}],
    }
    with AgentProcess(tmp_path, config) as agent, _model(log) as model:
        killer = Killer(agent, log, seed)
        kinds = killer.moments(KILLS)
        began = time.monotonic()
        for n, kind in enumerate(kinds, 1):
            killer.kill(kind)
            assert time.monotonic() - began < LIMIT_SECS, f"only {n} kills in {LIMIT_SECS:.0f} s"
            if n % 10 == 0:
                print(f"soak: {n} of {KILLS} kills after {time.monotonic() - began:.0f} s", flush=True)
        secs = time.monotonic() - began
        said, _ = model.communicate()
        written = int(said)
        agent.start()
        agent.wait_until_queued_is_zero(written, timeout_secs=300)
        assert agent.stop() == 0, agent.log_text()
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert sum(line.accepted for line in ledger.inputs.values()) == written
    assert all(line.fates == {"delivered": written} for line in ledger.outputs.values())
    found = [
        Found.of(f"Elasticsearch {elasticsearch.version}", written, in_elasticsearch(elasticsearch, DATASET)),
        Found.of("embedded store", written, in_the_store(store, 2 * written)),
    ]
    assert all(f.exact for f in found), (seed, found)
    soak = Soak(seed, counted(kinds), secs, found)
    print(soak.table(), flush=True)
    if LONG:
        DOCUMENT.write_text(fill_in(DOCUMENT.read_text(), soak.table()))
