"""One feed measured: the agent alone with one input, the counting sink behind it."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contenders import runtime
from bench.inputs.feed import Feed
from bench.processes import cpu, stop, waited_secs
from bench.steer import SinkControl

START_SECS = 30.0
QUIET_SECS = 1.5
"""Without a new record for so long nothing more will come."""
MAX_SECS = 300.0
_POLL_SECS = 0.02


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a feed. ``cpu_secs`` are all the agent's, delivering included; ``secs`` run from the first record
    sent until the last was in the queue, ``busy_secs`` until the last was delivered. Of these the event loop was for
    ``starved_secs`` ready to go on and had no processor: it shares them with who sends and who is delivered to.
    ``accepted_bytes`` are uncompressed."""

    name: str
    sent: int
    send_secs: float
    accepted: int
    accepted_bytes: int
    dropped: dict[str, int]
    secs: float
    busy_secs: float
    cpu_secs: float
    starved_secs: float

    @property
    def balances(self) -> bool:
        """Whether every record that was sent is accounted for."""
        return self.sent == self.accepted

    def row(self) -> str:
        """As a row of the table."""
        drops = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items()) or "none"
        return (
            f"{self.name:<16}{self.sent:>10}{self.sent / self.send_secs:>12.0f}{self.accepted / self.secs:>12.0f}"
            f"{self.accepted_bytes / self.secs / 1e6:>8.1f}{self.cpu_secs * 1e6 / self.sent:>10.2f}"
            f"{self.accepted_bytes / self.cpu_secs / 1e6:>10.1f}{self.starved_secs / self.busy_secs:>9.0%}"
            f"  {drops}{'' if self.balances else '  DOES NOT BALANCE'}"
        )


HEADING = (
    f"{'feed':<16}{'records':>10}{'sent/s':>12}{'taken/s':>12}{'MB/s':>8}{'CPU s/M':>10}{'MB/CPU s':>10}{'starved':>9}"
    "  dropped"
)


def measure(feed: Feed, sink: SinkControl, within: Path) -> Taken:
    """Start the agent, send, wait until the ledger accounts for everything, end it."""
    sink.reset()
    feed.prepare(feed.count)
    with tempfile.TemporaryDirectory(prefix=f"{feed.name}-", dir=within) as folder:
        work = Path(folder)
        config = work / "agent.json"
        config.write_text(json.dumps(_config(feed, sink.port, work)))
        reading, writing = os.pipe() if feed.piped else (None, None)
        try:
            with (work / "log").open("ab") as log:
                model = [part.replace("{folder}", folder) for part in feed.model]
                command = ["exec", "-c", str(config), "--", *model] if model else ["run", "-c", str(config)]
                process = subprocess.Popen(
                    [runtime(), "-m", "agent", *command],
                    stdin=subprocess.DEVNULL if reading is None else reading,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                address, status = _started(process, work / "log", listens="listen" in feed.config)
                where = address or (f"/proc/self/fd/{writing}" if feed.piped else folder)
                return _send(feed, where, status, process.pid)
            finally:
                stop(process)
        finally:
            for end in (reading, writing):
                if end is not None:
                    os.close(end)


def _send(feed: Feed, address: str, status: str, pid: int) -> Taken:
    before, waited = cpu(pid), waited_secs(pid)
    begun = time.monotonic()
    sent = feed.send(address, feed.count)
    sent_at = changed_at = time.monotonic()
    accepted = -1
    while True:
        ledger = _ledger(status)
        taken = sum(counts["accepted"] for counts in ledger["inputs"].values())
        now = time.monotonic()
        if taken != accepted:
            accepted, changed_at = taken, now
        queued = sum(output["queued"] for output in ledger["outputs"].values())
        if (accepted >= sent or now - changed_at > QUIET_SECS) and not queued:
            break
        if now - begun > MAX_SECS:
            break
        time.sleep(_POLL_SECS)
    busy_secs = now - begun
    dropped: dict[str, int] = {}
    for counts in ledger["inputs"].values():
        dropped.update(counts["dropped"])
    return Taken(
        feed.name,
        sent,
        sent_at - begun,
        accepted,
        sum(counts["bytes"] for counts in ledger["inputs"].values()),
        dropped,
        changed_at - begun,
        busy_secs,
        (cpu(pid) - before).total,
        waited_secs(pid) - waited,
    )


def _config(feed: Feed, port: int, folder: Path) -> dict[str, Any]:
    text = json.dumps({**feed.config, "id": "fed"}).replace("{folder}", str(folder))
    return {
        "model": {"name": "fraud-scorer", "version": "3.2.0"},
        "inputs": [json.loads(text)],
        "queue": {"path": str(folder / "queue")},
        "outputs": [{"type": "elasticsearch", "hosts": [f"http://127.0.0.1:{port}"]}],
        "status": {"port": 0},
        "log": {"format": "json"},
    }


def _started(process: "subprocess.Popen[bytes]", log: Path, *, listens: bool) -> tuple[str, str]:
    """Where the input listens (empty if it does not) and where the status endpoint does."""
    end = time.monotonic() + START_SECS
    while time.monotonic() < end and process.poll() is None:
        said = [json.loads(line) for line in log.read_text().split("\n")[:-1] if line.startswith("{")]
        found = {line["message"]: line.get("modeltail", {}) for line in said}
        status = found.get("Status endpoint is listening")
        listening = found.get("An input is listening")
        if status and "Ready" in found and (listening or not listens):
            return (listening or {}).get("address", ""), status["address"]
        time.sleep(_POLL_SECS)
    raise RuntimeError(f"modeltail did not start:\n{log.read_text()[-2000:]}")


def _ledger(status: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{status}/ledger", timeout=10) as answer:  # noqa: S310 - our own endpoint
        ledger: dict[str, Any] = json.loads(answer.read())
        return ledger
