"""Log files of writers and rotators nobody here wrote, an agent killed in the middle, and the embedded store."""

import gzip
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.e2e.agent_process import AgentProcess
from tests.servers.debian import debian_command

RECORDS = 12_000
PER_SECOND = 4_000
ENDLESS = 10**9
ROTATIONS = 5

_NUMBER = re.compile(rb"prediction served (\d+)")


def _agent(folder: Path, paths: list[str], **settings: object) -> AgentProcess:
    quick = {"linger": "20ms", "scan_interval": "200ms", "partial_after": "500ms"}
    return AgentProcess(
        folder,
        {
            "inputs": [{"type": "file", "paths": paths, **quick, **settings}],
            "outputs": [{"type": "local", "path": str(folder / "store")}],
        },
    )


def _writer(kind: str, log: Path, records: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.log_writers", kind, str(log), str(PER_SECOND), str(records)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _stored(folder: Path) -> Iterator[int]:
    """The number in each record of the store."""
    options = ["--json", "--limit", "1000000", "--store", str(folder / "store")]
    with subprocess.Popen([sys.executable, "-m", "agent", "search", "", *options], stdout=subprocess.PIPE) as search:
        assert search.stdout is not None
        for line in search.stdout:
            message = msgspec.json.decode(line)["message"]
            found = _NUMBER.search(message.encode())
            assert found is not None, message
            yield int(found[1])


def _accepted(agent: AgentProcess) -> int:
    return sum(line["accepted"] for line in agent.ledger()["inputs"].values())


def _wait_until_accepted(agent: AgentProcess, records: int) -> None:
    deadline = time.monotonic() + 60
    while _accepted(agent) < records:
        assert time.monotonic() < deadline, agent.log_text()
        time.sleep(0.02)


def _read_to_the_end(agent: AgentProcess) -> None:
    """Stop it, which reads what is there, and see that all of it was delivered."""
    assert agent.stop() == 0, agent.log_text()
    agent.start()
    agent.wait_until_queued_is_zero(1)
    assert agent.stop() == 0, agent.log_text()


@pytest.mark.parametrize("kind", ["json_logger", "ecs_logging", "structlog", "loguru"])
def test_files_of_logging_libraries_are_complete(kind: str, tmp_path: Path) -> None:
    """Each library with its usual rotation, the agent killed in the middle: every record is stored, once."""
    log = tmp_path / "logs" / "model.log"
    log.parent.mkdir()
    with _agent(tmp_path, [f"{log.parent}/*.log"]) as agent:
        agent.start()
        writer = _writer(kind, log, RECORDS)
        _wait_until_accepted(agent, RECORDS // 4)
        agent.kill()
        agent.start()
        assert writer.wait(120) == 0
        assert writer.communicate()[0].split() == [b"%d" % RECORDS]
        agent.wait_until_queued_is_zero(RECORDS)
        assert agent.stop() == 0, agent.log_text()
    assert Counter(_stored(tmp_path)) == Counter(range(RECORDS))
    if kind != "structlog":
        assert len(list(log.parent.iterdir())) > 2


def _logrotate(folder: Path, log: Path, how: str) -> None:
    """One rotation; with names by the second, in a second of its own."""
    next_second = int(time.time()) + 1.1  # the kernel's time of day lags a little behind the clock
    while "%s" in how and time.time() < next_second:
        time.sleep(0.01)
    rules = how.replace(", ", "\n")
    file = folder / "logrotate.conf"
    file.write_text(f"{log} {{\nrotate 1000\n{rules}\n}}\n")
    file.chmod(0o644)
    command = [debian_command("logrotate", "logrotate"), "-f", "-s", str(folder / "logrotate.state"), str(file)]
    subprocess.run(command, check=True, timeout=60)


def _in_files(log: Path) -> Counter[int]:
    """How often each number is in the log and its rotated copies."""
    found: Counter[int] = Counter()
    for path in log.parent.iterdir():
        content = path.read_bytes()
        found.update(map(int, _NUMBER.findall(gzip.decompress(content) if path.suffix == ".gz" else content)))
    return found


def _rotate_and_kill(agent: AgentProcess, kind: str, how: str, log: Path, *, kill_at: int) -> int:
    """Rotate again and again while a writer goes on, with one kill in between; how many records were written."""
    agent.start()
    writer = _writer(kind, log, ENDLESS)
    for rotation in range(ROTATIONS):
        _wait_until_accepted(agent, _accepted(agent) + 1000)
        if rotation == kill_at:
            agent.kill()
        _logrotate(agent.folder, log, how)
        if rotation == kill_at:
            time.sleep(0.3)  # the writer goes on, and is rotated again before anybody looks
            _logrotate(agent.folder, log, how)
            agent.start()
    written = int(writer.communicate()[0])
    _read_to_the_end(agent)
    return written


@pytest.mark.parametrize(
    "how",
    ["create", "create, compress, delaycompress", "create, compress, delaycompress, dateext, dateformat -%Y%m%d-%s"],
)
def test_logrotate_by_renaming_costs_no_record(how: str, tmp_path: Path) -> None:
    """Debian's logrotate renames, creates and compresses while the writer goes on, twice while the agent is dead: every
    record is stored, once."""
    log = tmp_path / "logs" / "model.log"
    log.parent.mkdir()
    with _agent(tmp_path, [str(log)], read_gzip=True) as agent:
        written = _rotate_and_kill(agent, "watched", how, log, kill_at=2)
    assert Counter(_stored(tmp_path)) == Counter(range(written))


@pytest.mark.parametrize("kind", ["append", "overwrite"])
@pytest.mark.parametrize("how", ["copytruncate", "copytruncate, compress, delaycompress"])
def test_logrotate_by_copying_ships_once_what_is_in_a_file(kind: str, how: str, tmp_path: Path) -> None:
    """copytruncate loses what is written while it copies, and a writer not in append mode leaves a hole: each line that
    is in a file is stored, none twice, and no NULs."""
    log = tmp_path / "logs" / "model.log"
    log.parent.mkdir()
    with _agent(tmp_path, [str(log)], read_gzip=True) as agent:
        written = _rotate_and_kill(agent, kind, how, log, kill_at=2)
    stored, in_files = Counter(_stored(tmp_path)), _in_files(log)
    assert set(in_files) <= set(range(written))
    assert {n: (count, stored[n]) for n, count in in_files.items() if stored[n] != 1} == {}
    assert {n for n, count in stored.items() if count > 1} == set()
