"""A model under ``modeltail exec``, as real processes, and the records that come of it."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.e2e.agent_process import AgentProcess


class Wrapped(AgentProcess):
    """An agent that runs a model and writes its records to a file."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.out = folder / "out.ndjson"
        usual = {"inputs": [{"type": "exec", "linger": 0}], "outputs": [{"type": "ndjson", "path": str(self.out)}]}
        super().__init__(folder, usual | config)

    def __enter__(self) -> Self:
        return self

    def run(self, *model: str, **how: Any) -> None:
        """Start the model under modeltail; returns at once."""
        self.start("--", *model, command="exec", wait=False, **how)

    def ends(self, timeout_secs: float = 60) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout_secs)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All records delivered so far."""
        if not self.out.exists():
            return []
        return [json.loads(line) for line in self.out.read_text().split("\n")[:-1]]

    def messages(self, stream: str = "stdout") -> list[str]:
        """What the model said on a stream."""
        return [r["message"] for r in self.records if r["log"].get("iostream") == stream]

    @property
    def last_words(self) -> dict[str, Any]:
        """The one record of the model's end."""
        (found,) = [r for r in self.records if r.get("event", {}).get("action") == "exited"]
        return found

    def wait_for(self, condition: Callable[[], object], timeout_secs: float = 60) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + timeout_secs
        while not condition():
            assert time.monotonic() < deadline, self.log_text()[-3000:]
            time.sleep(0.01)


def python(code: str) -> list[str]:
    """The command that runs this code."""
    return [sys.executable, "-IS", "-u", "-c", code]
