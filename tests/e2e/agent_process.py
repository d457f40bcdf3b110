"""The real agent, as its own process: started, killed, stopped, asked."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

START_SECS = 20.0


class AgentProcess:
    """An agent with its configuration in ``folder``; may be started again after it ended. Its own log is in
    ``agent.stderr``.

    ``config`` is the YAML as an object. The queue lies in ``folder/queue`` and the status endpoint takes a free port,
    unless it says otherwise.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.queue = folder / "queue"
        self.starts = 0
        config = {
            "model": {"name": "fraud-scorer", "version": "3.2.0"},
            "queue": {"path": str(self.queue), "min_free": 0},
            "status": {"port": 0},
            "grace": "60s",
            **config,
        }
        self.config_file = folder / "agent.yaml"
        self.config_file.write_text(yaml.safe_dump(config))
        self.log_file = folder / "agent.stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(
        self,
        *options: str,
        mount_queue: str | None = None,
        namespace_of: int | None = None,
        ordinary_rights: bool = False,
        module: str = "agent",
        command: str = "run",
        under: Sequence[str] = (),
        stdout: int | None = None,
        wait: bool = True,
    ) -> None:
        """Start, and return when it says it is ready, or with ``wait=False`` at once. ``options`` are added to the
        ``command``; ``module`` is the program run in place of modeltail's own, ``under`` the one that runs it, and
        ``stdout`` its standard output.

        ``mount_queue`` puts the queue on a disk of that size of its own (``2m``), seen only by the agent and below
        ``/proc/PID/root``; ``namespace_of`` lets the agent see the disks that this process sees. ``ordinary_rights``
        takes from root what lets it read files against their modes.
        """
        line = [*under, sys.executable, "-m", module, command, "-c", str(self.config_file), *options]
        if mount_queue is not None:
            mount = f'mount -t tmpfs -o size={mount_queue} none "$0" && exec "$@"'
            line = ["unshare", "-m", "sh", "-c", mount, str(self.queue), *line]
        if namespace_of is not None:
            line = ["nsenter", "-m", "-t", str(namespace_of), f"--wd={Path.cwd()}", *line]
        if ordinary_rights and os.geteuid() == 0:
            line = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *line]
        self._log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(line, stdout=stdout, stderr=log)
        self.starts += 1
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return when it says it is ready."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECS
        while self.status_address is None or not any(line["message"] == "Ready" for line in self.log()):
            assert self._process.poll() is None, f"the agent ended:\n{self.log_text()}"
            assert time.monotonic() < deadline, f"the agent is not ready:\n{self.log_text()}"
            time.sleep(0.01)

    def said(self, message: str) -> list[dict[str, Any]]:
        """The fields of its log lines with this message."""
        return [line.get("modeltail", {}) for line in self.log() if line["message"] == message]

    def wait_until_said(self, message: str, timeout_secs: float = 60) -> None:
        """Wait for a line of its log."""
        deadline = time.monotonic() + timeout_secs
        while not self.said(message):
            assert time.monotonic() < deadline, f"not said: {message}\n{self.log_text()[-3000:]}"
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None
        return self._process

    def log_text(self) -> str:
        """What it wrote to standard error since its last start."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode()

    def log(self) -> list[dict[str, Any]]:
        """The same as records; a last line still being written is left out."""
        lines = self.log_text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def status_address(self) -> str | None:
        """Of the status endpoint, once it listens."""
        found = [x["modeltail"]["address"] for x in self.log() if x["message"] == "Status endpoint is listening"]
        return found[-1] if found else None

    def get(self, page: str) -> bytes:
        """A page of the status endpoint."""
        with urllib.request.urlopen(f"{self.status_address}{page}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    def ledger(self) -> dict[str, Any]:
        """The live ledger."""
        ledger: dict[str, Any] = json.loads(self.get("/ledger"))
        return ledger

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_secs: float = 60) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_secs)

    def wait_until_queued_is_zero(self, records: int, timeout_secs: float = 120) -> None:
        """Wait until every output is through with so many accepted records."""
        deadline = time.monotonic() + timeout_secs
        while True:
            ledger = self.ledger()
            accepted = sum(line["accepted"] for line in ledger["inputs"].values())
            if accepted >= records and all(line["queued"] == 0 for line in ledger["outputs"].values()):
                return
            assert time.monotonic() < deadline, f"still queued: {json.dumps(ledger)}\n{self.log_text()[-3000:]}"
            time.sleep(0.05)

    def __enter__(self) -> "AgentProcess":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
