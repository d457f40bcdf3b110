"""What the agent says of itself: its ledger, over HTTP while it runs, from the queue's folder when it does not."""

import http.client
import json
import socket
import subprocess
import sys
from typing import Any

from examples.child import CONFIG, HERE, STATE, environment

USUAL_PORT = 8686
TIMEOUT_SECS = 2.0
LEDGER_COMMAND = [sys.executable, "-m", "agent", "ledger", "-c", str(CONFIG)]

Ledger = dict[str, Any]


class Status:
    """The agent's status endpoint on the loopback address."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"

    def ledger(self) -> Ledger | None:
        """The ledger as of now; None when the agent does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECS)
        try:
            connection.request("GET", "/ledger")
            answer = connection.getresponse()
            found: Ledger = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return found if answer.status == 200 else None


def free_port() -> int:
    """The status endpoint's usual port, or any other when that one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def stored(ledger: Ledger | None) -> int:
    """How many records went into the embedded store since the queue was made."""
    line = ledger["outputs"].get("local") if ledger else None
    return line["fates"].get("delivered", 0) if line else 0


def ledger_on_disk() -> Ledger | None:
    """The ledger while no agent runs; None before the first run."""
    if not (STATE / "queue").is_dir():
        return None
    done = subprocess.run([*LEDGER_COMMAND, "--json"], cwd=HERE, env=environment(), capture_output=True, check=False)
    found: Ledger | None = json.loads(done.stdout) if done.stdout else None
    return found


def print_ledger() -> bool:
    """Print the ledger for people. Returns whether it balances."""
    sys.stdout.flush()
    return subprocess.run(LEDGER_COMMAND, cwd=HERE, env=environment(), check=False).returncode == 0
