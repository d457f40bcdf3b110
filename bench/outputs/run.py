"""One output measured: the agent alone, from a file through the queue to the output's other end."""

import http.client
import json
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench.contenders import runtime
from bench.outputs.peer import Other, Peer
from bench.processes import cpu, running
from bench.records import cached_file
from bench.workspace import free_port

START_SECS = 30.0
MAX_SECS = 600.0
FIRST_RECORDS = 1_000
"""So many go through before the measurement begins: what is loaded, connected and made once is not paid by the record.
"""
_POLL_SECS = 0.1
"""Each look at the ledger is work of the agent's that counts."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """What became of the records. ``cpu_secs`` are the agent's alone, from the moment the file is there until the last
    record is delivered; ``secs`` is that time. The first records, before, are in none of it."""

    name: str
    records: int
    received: int
    secs: float
    cpu_secs: float

    @property
    def is_complete(self) -> bool:
        """Whether every record arrived, once."""
        return self.received == self.records

    @property
    def cpu_secs_per_million(self) -> float:
        """What the table is about."""
        return self.cpu_secs * 1e6 / self.records

    def row(self, baseline: float | None) -> str:
        """As a row of the table; ``baseline`` are the CPU-seconds per million it is compared with."""
        ratio = f"{self.cpu_secs_per_million / baseline:.2f}" if baseline else "–"
        return (
            f"{self.name:<16}{self.records:>10}{self.records / self.secs:>12.0f}{self.cpu_secs_per_million:>12.2f}"
            f"{ratio:>18}{'' if self.is_complete else f'  {self.received} ARRIVED'}"
        )


HEADING = f"{'output':<16}{'records':>10}{'records/s':>12}{'CPU s/M':>12}{'to elasticsearch':>18}"


def typical(runs: Sequence[Shipped]) -> Shipped:
    """The run that stands for all of one output: that of the median CPU time (the lower of two in the middle), or one
    that did not get every record once."""
    ordered = sorted(runs, key=lambda run: (run.is_complete, run.cpu_secs))
    return ordered[(len(ordered) - 1) // 2] if ordered[0].is_complete else ordered[0]


def measure(peer: Peer, records: int, within: Path) -> Shipped:
    """Start the other end and the agent, let the first records through, put the file there, wait until all is
    delivered, end both."""
    source = cached_file(records)
    with tempfile.TemporaryDirectory(prefix=f"{peer.name}-", dir=within) as name:
        folder = Path(name)
        there, logs = folder / "there", folder / "logs"
        there.mkdir()
        logs.mkdir()
        with peer.start(there) as other:
            config, port = folder / "agent.json", free_port()
            config.write_text(json.dumps(_config(other, folder, port)))
            log = folder / "agent.log"
            with running([runtime(), "-m", "agent", "run", "-c", str(config)], log) as process:
                _wait_until_ready(process, port, log)
                os.link(cached_file(FIRST_RECORDS), logs / "first.log")
                _wait_until_delivered(process, port, FIRST_RECORDS, log)
                before, begun = cpu(process.pid), time.monotonic()
                os.link(source, logs / "model.log")
                _wait_until_delivered(process, port, FIRST_RECORDS + records, log)
                secs, used = time.monotonic() - begun, cpu(process.pid) - before
            return Shipped(peer.name, records, other.received() - FIRST_RECORDS, secs, used.total)


def _config(other: Other, folder: Path, port: int) -> dict[str, Any]:
    return {
        "model": {"name": "fraud-scorer", "version": "3.2.0"},
        "inputs": [{"type": "file", "paths": [str(folder / "logs" / "*.log")]}],
        "queue": {"path": str(folder / "queue")},
        "outputs": [other.config],
        "status": {"port": port},
    }


def _wait_until_ready(process: "Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_SECS
    while time.monotonic() < end and process.poll() is None:
        try:
            _get(port, "/readyz")
        except (OSError, urllib.error.URLError, http.client.HTTPException):
            time.sleep(_POLL_SECS)
        else:
            return
    raise RuntimeError(f"modeltail did not start:\n{log.read_text()[-2000:]}")


def _wait_until_delivered(process: "Popen[bytes]", port: int, records: int, log: Path) -> None:
    end = time.monotonic() + MAX_SECS
    while time.monotonic() < end and process.poll() is None:
        ledger = json.loads(_get(port, "/ledger"))
        accepted = sum(line["accepted"] for line in ledger["inputs"].values())
        if accepted >= records and not any(line["queued"] for line in ledger["outputs"].values()):
            return
        time.sleep(_POLL_SECS)
    raise RuntimeError(f"modeltail did not deliver everything:\n{log.read_text()[-2000:]}")


def _get(port: int, page: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
        body: bytes = answer.read()
        return body
