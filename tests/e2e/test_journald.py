"""A journal that grows, an agent killed without warning: every entry is in the store, once."""

import json
import random
from pathlib import Path

from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_the_store
from tests.servers.journal import Journal

ROUNDS = 20
KILLS = 6
PER_ROUND = 500


def test_killed_agent_delivers_every_entry_of_the_journal_once(tmp_path: Path) -> None:
    """The cursor lies in the frame with the records before it: nothing is lost, nothing read twice, the ledger
    balances."""
    journal = Journal(tmp_path / "journal")
    config = {
        "inputs": [{"type": "journald", "path": str(journal.folder), "start": "head", "linger": "10ms"}],
        "outputs": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    killed_in = set(random.Random(1).sample(range(ROUNDS), KILLS))
    count = ROUNDS * PER_ROUND
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        for n in range(ROUNDS):
            numbers = range(n * PER_ROUND, (n + 1) * PER_ROUND)
            journal.write(*({"MESSAGE": json.dumps({"n": number}).encode()} for number in numbers))
            if n in killed_in:
                agent.kill()
                agent.start()
        agent.wait_until_queued_is_zero(count)
        ledger = agent.ledger()
        assert agent.stop() == 0, agent.log_text()
    assert ledger["balances"]
    assert ledger["inputs"]["journald"]["accepted"] == count
    assert ledger["outputs"]["local"]["fates"] == {"delivered": count}
    assert sorted(in_the_store(tmp_path / "store", count + 1)) == list(range(count))
