"""A server in a process of its own: started, killed and started again at the same port."""

import atexit
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.servers import ServerUnavailable

STOP_SECS = 20.0


def free_port() -> int:
    """A port that nobody listens on just now, for servers that must be told one. It is none of those that the system
    gives to whoever asks for any: a server that goes away and comes back finds it free, and meanwhile nobody else
    answers there, nor does a connection to it meet itself."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether somebody listens on this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ServerProcess:
    """One server. ``ready`` says whether it answers; its output is in ``log``. It is killed with all it started, at the
    latest when Python ends."""

    def __init__(
        self,
        command: Sequence[str],
        ready: Callable[[], bool],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        start_secs: float = 60.0,
    ) -> None:
        self._command = list(command)
        self._ready = ready
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._start_secs = start_secs
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it is ready. Raises ``ServerUnavailable`` with the end of its log if it is not."""
        with self._log.open("ab") as log:
            if log.tell():
                log.write(b"\n")  # a line that a kill cut short stays by itself
                log.flush()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )
        atexit.register(self.kill)
        deadline = time.monotonic() + self._start_secs
        while not self._ready():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                what = "ended while starting" if ended else f"was not ready within {self._start_secs:.0f} s"
                raise ServerUnavailable(f"{Path(self._command[0]).name} {what}:\n{self.log_tail()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        atexit.unregister(self.kill)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECS)
        self.kill()

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
