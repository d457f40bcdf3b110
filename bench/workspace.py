"""Folders to work in, outside the work tree and gone afterwards, and a contender at work in one."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender, Job
from bench.processes import running
from bench.records import cache_folder


class Ended(Exception):
    """A contender ended while it had work to do. Nothing can be measured of it."""


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder on the file system of the cache: a queue is to lie on a disk, and ``/tmp`` is often memory."""
    with tempfile.TemporaryDirectory(prefix="work-", dir=cache_folder()) as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class AtWork:
    """A contender that was started: its job, its process, and when (of the monotonic clock)."""

    job: Job
    queue: Path
    process: "subprocess.Popen[bytes]"
    begun: float

    @property
    def pid(self) -> int:
        """The first process of its tree."""
        return self.process.pid

    def check(self) -> None:
        """Raise `Ended` if the contender has ended by itself."""
        if self.process.poll() is not None:
            raise Ended(f"ended by itself with status {self.process.returncode}:\n{self.log()}")

    def log(self) -> str:
        """The end of what it said."""
        return (self.job.folder / "log").read_text(errors="replace")[-2000:]


@contextmanager
def at_work(contender: Contender, source: Path, sink_port: int, within: Path) -> Iterator[AtWork]:
    """Start a contender on a file; end it and remove its folder on the way out."""
    with tempfile.TemporaryDirectory(prefix=f"{contender.name}-", dir=within) as folder:
        job = Job(source, sink_port, Path(folder), free_port())
        command = contender.command(job)
        begun = time.monotonic()
        with running(command, job.folder / "log") as process:
            yield AtWork(job, contender.queue(job), process, begun)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def folder_bytes(folder: Path) -> int:
    """The summed length of the files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # a segment that was freed while we looked
    return total
