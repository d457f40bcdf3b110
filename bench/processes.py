"""What a process and its children use, read from ``/proc`` (Linux; see proc(5)), and how they are ended."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SEC = os.sysconf("SC_CLK_TCK")
STOP_SECS = 10.0
"""How long a process may take to end after SIGTERM before it is killed."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU-seconds of a process tree, children that have ended included."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """User and system time together."""
        return self.user + self.system

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it ended while we looked; its time is in its parent's count
    return found


def cpu(pid: int) -> Cpu:
    """CPU-seconds of the process and its descendants since it started, in steps of one tick (usually 10 ms)."""
    user = system = 0
    for one in tree(pid):
        try:
            # The name in parentheses may hold anything: the fixed fields begin behind the last one.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11]) + int(fields[13])
        system += int(fields[12]) + int(fields[14])
    return Cpu(user / TICKS_PER_SEC, system / TICKS_PER_SEC)


def waited_secs(pid: int) -> float:
    """How long a process's first thread was ready to run and had no processor, since it started."""
    # The second field is the time on a run queue, in ns (Linux, Documentation/scheduler/sched-stats.rst).
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def threads(pid: int) -> list[tuple[str, float]]:
    """Name and CPU-seconds of each living thread of one process, busiest first."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        found.append((name, (int(fields[11]) + int(fields[12])) / TICKS_PER_SEC))
    return sorted(found, key=lambda t: -t[1])


def rss_bytes(pid: int) -> dict[int, tuple[int, int]]:
    """Resident memory now and at its highest, for each process of the tree."""
    found = {}
    for one in tree(pid):
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except OSError:
            continue
        values = dict(line.split(":", 1) for line in status.splitlines())
        if "VmHWM" in values:
            found[one] = (_kibibytes(values["VmRSS"]), _kibibytes(values["VmHWM"]))
    return found


def _kibibytes(text: str) -> int:
    return int(text.removesuffix("kB")) * 1024


class PeakMemory:
    """The highest resident memory of a process tree: every process's own peak, summed, those that ended included.

    The kernel keeps each peak (``VmHWM``), so sampling loses only what a short-lived child reached after the last
    sample. Peaks at different moments are added: the sum can be above what was ever used at once, never below.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[int, int] = {}

    def sample(self) -> int:
        """Look once more; the peak so far, in bytes."""
        for pid, (_, peak) in rss_bytes(self._pid).items():
            self._peaks[pid] = peak
        return sum(self._peaks.values())


@contextmanager
def running(command: Sequence[str], log: Path, pass_fds: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in ``log``; on the way out end it, whatever happened, and wait for it.

    It gets a session of its own, so that Ctrl-C reaches only the harness, which then ends it by its pid. Where
    util-linux is there, the kernel ends it when the harness is killed.
    """
    if (setpriv := shutil.which("setpriv")) is not None:
        command = [setpriv, "--pdeathsig", "KILL", *command]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], within_secs: float = STOP_SECS) -> None:
    """Ask a process to end, wait, and kill it when it takes too long, and in any case the children it leaves behind."""
    descendants = tree(process.pid)[1:]
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(within_secs)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in descendants:
        with _gone_is_fine():
            os.kill(pid, signal.SIGKILL)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def interrupt_on_sigterm() -> None:
    """Make SIGTERM unwind like Ctrl-C, so that what was started is ended."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
