"""Reading what processes use, on real processes."""

import os
import sys
import time
from pathlib import Path

import pytest

from bench.processes import PeakMemory, cpu, running, stop, threads, tree

BURN = "import time; e = time.process_time() + {secs}\nwhile time.process_time() < e: pass\n"
READY = "print('ready', flush=True)\n"
WAIT = "import time; time.sleep(60)\n"


def wait_for_ready(log: Path) -> None:
    """Until the process has said so."""
    end = time.monotonic() + 20
    while b"ready" not in log.read_bytes():
        assert time.monotonic() < end, "the process did not get ready"
        time.sleep(0.01)


def test_cpu_counts_the_process_and_its_ended_children(tmp_path: Path) -> None:
    """Work that a child did is the contender's work."""
    child = BURN.format(secs=0.2)
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    program += BURN.format(secs=0.1) + READY + WAIT
    with running([sys.executable, "-c", program], tmp_path / "log") as process:
        wait_for_ready(tmp_path / "log")
        assert cpu(process.pid).total >= 0.28
        assert sum(secs for _, secs in threads(process.pid)) < cpu(process.pid).total


def test_cpu_counts_living_children(tmp_path: Path) -> None:
    """A contender may do its work in a process it keeps."""
    child = BURN.format(secs=0.2) + READY + WAIT
    program = f"import subprocess, sys\nc = subprocess.Popen([sys.executable, '-c', {child!r}])\n{WAIT}"
    with running([sys.executable, "-c", program], tmp_path / "log") as process:
        wait_for_ready(tmp_path / "log")
        assert len(tree(process.pid)) == 2
        assert cpu(process.pid).total >= 0.18


def test_children_are_ended_with_their_parent(tmp_path: Path) -> None:
    """A contender that is stopped leaves nothing running. The child holds a pipe whose end we see."""
    read, write = os.pipe()
    child = READY + WAIT
    program = (
        f"import subprocess, sys\nc = subprocess.Popen([sys.executable, '-c', {child!r}], pass_fds=[{write}])\n{WAIT}"
    )
    os.set_inheritable(write, True)
    with running([sys.executable, "-c", program], tmp_path / "log", pass_fds=[write]):
        os.close(write)
        wait_for_ready(tmp_path / "log")
    assert os.read(read, 1) == b""
    os.close(read)


def test_peak_memory_stays_when_memory_is_given_back(tmp_path: Path) -> None:
    """The highest, not the last: 64 MiB once are 64 MiB."""
    program = f"b = bytearray(64 << 20)\nb[::4096] = b'x' * len(b[::4096])\ndel b\n{READY}{WAIT}"
    with running([sys.executable, "-c", program], tmp_path / "log") as process:
        wait_for_ready(tmp_path / "log")
        assert PeakMemory(process.pid).sample() >= 64 << 20


def test_a_process_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    """The benchmark is bounded in time, whatever a contender does."""
    program = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{READY}{WAIT}"
    with running([sys.executable, "-c", program], tmp_path / "log") as process:
        wait_for_ready(tmp_path / "log")
        stop(process, within_secs=0.1)
        assert process.returncode == -9


def test_what_was_started_is_ended_when_the_harness_fails(tmp_path: Path) -> None:
    """An exception, Ctrl-C among them, leaves no process behind."""
    with pytest.raises(KeyboardInterrupt), running([sys.executable, "-c", WAIT], tmp_path / "log") as process:
        raise KeyboardInterrupt
    assert process.returncode is not None
