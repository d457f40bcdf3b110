"""A process the example starts and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
HERE = Path.cwd()
"""Where everything of the example is kept, in ``.modeltail/``: the folder it is started in."""
STATE = HERE / ".modeltail"
CONFIG = ROOT / "agent.yaml"


class RunFailed(Exception):
    """The example cannot go on. The message says why, for a person."""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of everything started here. ``agent.yaml`` finds the model's log through ``PWD``."""
    modules = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PWD": str(HERE), "PYTHONPATH": modules, **(more or {})}


class Child:
    """A Python module run in a session of its own: Ctrl-C reaches this program alone, which ends the others in order.

    Its standard output is a pipe, or goes with standard error to ``log`` if one is given. Its standard input is a pipe
    that is closed when this program is gone, however that came about.
    """

    def __init__(
        self, name: str, *arguments: str, log: IO[bytes] | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=HERE,
            env=environment(more),
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=log or subprocess.PIPE,
            stderr=log,
        )

    def check(self) -> None:
        """Raise ``RunFailed`` when it has ended."""
        if (status := self.process.poll()) is not None:
            raise RunFailed(f"{self.name} ended with status {status}")

    def first_line(self) -> str:
        """What it says when it is ready. Raises ``RunFailed`` when it ends without a word."""
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline().decode().strip()
        if not line:
            self.process.wait()
            self.check()
        return line

    def end(self, timeout_secs: float) -> bool:
        """Ask it to end and wait until it has. False when it had to be killed, or ended with an error."""
        self.process.send_signal(signal.SIGTERM)  # does nothing to a process that has ended
        try:
            status = self.process.wait(timeout_secs)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return status == 0
