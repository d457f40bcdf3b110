"""A disk that is full for real: the agent as a process of its own, its queue on a small file system that another file
fills."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess

DISK = "6m"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
WAIT_SECS = 60.0


def _can_mount() -> bool:
    probe = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0"', "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _can_mount(), reason="a disk of a chosen size needs the right to mount one")


class Disk:
    """A small file system at ``place``, to be seen only by a process that holds it, and through that one's
    ``/proc/PID/root`` by us. It outlives the agent, so that an agent can be started again on the same full disk."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        mount = f'mount -t tmpfs -o size={DISK} none "$0" && echo there && exec cat'
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", mount, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"there\n"
        self.pid = self._holder.pid
        self.seen_from_here = Path(f"/proc/{self.pid}/root{place}")
        self._ballast = self.seen_from_here / "ballast"

    def fill(self) -> None:
        """Take all the room there is."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def leave(self, size: int) -> None:
        """Take all the room but for so many bytes."""
        self.fill()
        os.truncate(self._ballast, max(0, self._ballast.stat().st_size - size))

    def make_room(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    def release(self) -> None:
        """Let the file system go."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk where the agent has its queue."""
    made = Disk(tmp_path / "queue")
    yield made
    made.release()


def _write(log: Path, first: int, records: int) -> list[int]:
    """Append records that hardly compress, with every level in turn; their numbers."""
    numbers = list(range(first, first + records))
    with log.open("ab") as file:
        for n in numbers:
            level = LEVELS[n % len(LEVELS)]
            noise = os.urandom(150).hex().encode()
            file.write(b'{"level":"%s","message":"m","n":%d,"pad":"%s"}\n' % (level.encode(), n, noise))
    return numbers


def _agent(folder: Path, *, held: bool = False, queue: dict[str, Any] | None = None, **on: Any) -> AgentProcess:
    """An agent that reads ``model.log`` and ``other.log``, each as an input of its own, and writes the file ``out``.
    ``held`` makes it wait for ``_let_go``: there is a file where the output's folder should be."""
    if held:
        (folder / "held").touch()
    room = {"path": str(folder / "queue"), "min_free": 0, "max_bytes": "32MiB", "segment_bytes": "256KiB"}
    return AgentProcess(
        folder,
        {
            "inputs": [
                {"type": "file", "paths": [str(folder / "model.log")], **on},
                {"type": "file", "paths": [str(folder / "other.log")], **on},
            ],
            "outputs": [{"type": "ndjson", "path": str(folder / "held" / "out" if held else folder / "out")}],
            "queue": {**room, **(queue or {})},
        },
    )


def _let_go(folder: Path) -> None:
    (folder / "held").unlink()
    (folder / "held").mkdir()
    (folder / "out").symlink_to(folder / "held" / "out")


def _delivered(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out").read_bytes().splitlines()]


def _numbers(folder: Path) -> list[int]:
    return [document["fields"]["n"] for document in _delivered(folder)]


def _wait(condition: Callable[[], bool], agent: AgentProcess) -> None:
    deadline = time.monotonic() + WAIT_SECS
    while not condition():
        assert agent.process.poll() is None, agent.log_text()[-3000:]
        assert time.monotonic() < deadline, agent.log_text()[-3000:]
        time.sleep(0.02)


def _in_trouble(agent: AgentProcess) -> bool:
    return bool(json.loads(agent.get("/readyz"))["queue_trouble"])


def test_disk_filled_during_a_run_costs_no_record(tmp_path: Path, disk: Disk) -> None:
    """Another file takes all the room while the model writes: the agent says so and waits; given room it goes on by
    itself, and every record is there once."""
    log = tmp_path / "model.log"
    with _agent(tmp_path) as agent:
        agent.start(namespace_of=disk.pid)
        written = _write(log, 0, 2000)
        agent.wait_until_queued_is_zero(len(written))
        disk.fill()
        written += _write(log, len(written), 20_000)
        _wait(lambda: _in_trouble(agent), agent)
        assert agent.ledger()["balances"]
        disk.make_room()
        agent.wait_until_queued_is_zero(len(written))
        assert not _in_trouble(agent)
        assert agent.stop() == 0
        assert "The queue can be written again" in agent.log_text()
    assert _numbers(tmp_path) == written
    ledger = read_ledger(disk.seen_from_here)
    assert ledger.balances
    assert ledger.outputs["ndjson"].fates == {"delivered": len(written)}


def test_agent_killed_on_a_full_disk_starts_on_it_and_frees_it_by_delivering(tmp_path: Path, disk: Disk) -> None:
    """SIGKILL while the disk is full, and nobody makes room: the next start finds what was accepted, delivers it, and
    so has room for the rest."""
    with _agent(tmp_path, held=True) as agent:
        agent.start(namespace_of=disk.pid)
        written = _write(tmp_path / "model.log", 0, 2000)
        _wait(lambda: agent.ledger()["appended"] == len(written), agent)
        disk.leave(1_500_000)
        written += _write(tmp_path / "model.log", len(written), 20_000)
        _wait(lambda: _in_trouble(agent), agent)
        agent.kill()
        agent.start(namespace_of=disk.pid)
        _let_go(tmp_path)
        agent.wait_until_queued_is_zero(len(written))
        assert agent.stop() == 0
    assert _numbers(tmp_path) == written
    assert read_ledger(disk.seen_from_here).balances


def test_full_disk_sheds_low_levels_and_keeps_the_others(tmp_path: Path, disk: Disk) -> None:
    """With `shed`, what is dropped while the disk is full are records of low levels only: accepted is delivered plus
    shed, by level."""
    with _agent(tmp_path, queue={"shed": {"below": "warning", "above": 1}}) as agent:
        agent.start(namespace_of=disk.pid)
        disk.fill()
        written = _write(tmp_path / "model.log", 0, 4000)
        _wait(lambda: _in_trouble(agent), agent)
        written += _write(tmp_path / "written", len(written), 200)  # one batch
        (tmp_path / "written").rename(tmp_path / "other.log")
        _wait(lambda: "records of low levels are dropped" in agent.log_text(), agent)
        disk.make_room()
        agent.wait_until_queued_is_zero(len(written))
        assert agent.stop() == 0
    ledger = read_ledger(disk.seen_from_here)
    assert ledger.inputs["file-2"].dropped == {"shed.debug": 50, "shed.info": 50}
    shed = Counter(ledger.inputs["file-2"].dropped) + Counter(ledger.inputs["file"].dropped)
    delivered = _delivered(tmp_path)
    assert Counter(document["log"]["level"] for document in delivered) == {
        "debug": 1050 - shed.pop("shed.debug"),
        "info": 1050 - shed.pop("shed.info"),
        "warning": 1050,
        "error": 1050,
    }
    assert not shed
    assert len({document["event"]["id"] for document in delivered}) == len(delivered)


def test_full_disk_with_drop_oldest_keeps_the_newest_and_counts_the_rest(tmp_path: Path, disk: Disk) -> None:
    """Far more is written than fits the disk, with a dead output: the oldest records go, and accepted is delivered
    plus dropped, to the record."""
    with _agent(tmp_path, held=True, on_full="drop_oldest") as agent:
        agent.start(namespace_of=disk.pid)
        disk.leave(2_500_000)
        written = _write(tmp_path / "model.log", 0, 30_000)
        _wait(lambda: agent.ledger()["inputs"].get("file", {}).get("accepted") == len(written), agent)
        _let_go(tmp_path)
        agent.wait_until_queued_is_zero(len(written))
        assert agent.stop() == 0
        assert "The queue is full: the oldest records are dropped" in agent.log_text()
    ledger = read_ledger(disk.seen_from_here)
    assert ledger.balances
    fates = ledger.outputs["ndjson"].fates
    numbers = _numbers(tmp_path)
    dropped_new = ledger.inputs["file"].dropped.get("queue_full", 0)
    assert len(numbers) == len(set(numbers)) == fates["delivered"]
    assert fates["delivered"] + fates["dropped.queue_full"] + dropped_new == len(written)
    assert fates["dropped.queue_full"] > 0


def test_second_agent_on_a_queue_in_use_ends_with_status_1_and_says_what_to_do(tmp_path: Path) -> None:
    """It touches nothing; the first one goes on."""
    with _agent(tmp_path) as agent:
        agent.start()
        second = subprocess.run(
            [sys.executable, "-m", "agent", "run", "-c", str(agent.config_file)], capture_output=True, check=False
        )
        assert second.returncode == 1
        assert f"the queue in {agent.queue} is in use by another modeltail" in second.stderr.decode()
        assert "queue.path" in second.stderr.decode()
        written = _write(tmp_path / "model.log", 0, 100)
        agent.wait_until_queued_is_zero(len(written))
        assert agent.stop() == 0
    assert _numbers(tmp_path) == written
