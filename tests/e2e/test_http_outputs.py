"""The outputs over plain HTTP under the worst treatment: the real agent, and a receiver in a process of its own, each
killed in the middle. Longer with ``MODELTAIL_SOAK=1``.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.e2e.soak import Found
from tests.servers.process import ServerProcess, free_port, listens

RECORDS = 100_000 if os.environ.get("MODELTAIL_SOAK") == "1" else 20_000
PATIENCE_SECS = 60.0
DELIVERY = {"batch_bytes": "128KiB", "backoff_initial": "20ms", "backoff_max": "200ms"}


class Peer:
    """The receiver: started and killed by these, and what it has, one document a line, in ``file``."""

    def __init__(self, start: Callable[[], None], kill: Callable[[], None], file: Path, url: str) -> None:
        self.start = start
        self.kill = kill
        self.file = file
        self.url = url

    def wait_until_larger(self, than: int) -> None:
        """Wait until its file has so many bytes."""
        deadline = time.monotonic() + PATIENCE_SECS
        while not self.file.exists() or self.file.stat().st_size <= than:
            assert time.monotonic() < deadline, f"nothing arrives beyond {than} bytes"
            time.sleep(0.002)

    def size(self) -> int:
        """Of its file."""
        return self.file.stat().st_size


@contextmanager
def fake(folder: Path, name: str) -> Iterator[Peer]:
    """A fake of ``tests.fakes`` as a process."""
    file, port = folder / "received", free_port()
    command = [sys.executable, "-m", f"tests.fakes.{name}", str(port), str(file)]
    process = ServerProcess(command, lambda: listens(port), folder / "fake.log")
    process.start()
    try:
        yield Peer(process.start, process.kill, file, f"http://127.0.0.1:{port}")
    finally:
        process.kill()


@contextmanager
def other_modeltail(folder: Path) -> Iterator[Peer]:
    """modeltail itself, listening for OTLP."""
    folder.mkdir()
    file, port = folder / "received", free_port()
    config = {
        "inputs": [{"type": "otlp", "listen": f"127.0.0.1:{port}"}],
        "outputs": [{"type": "ndjson", "path": str(file), "max_bytes": "10GiB"}],
    }
    with AgentProcess(folder, config) as agent:
        agent.start()
        yield Peer(agent.start, agent.kill, file, f"http://127.0.0.1:{port}")
        agent.wait_until_queued_is_zero(0)
        assert agent.stop() == 0


def lines(numbers: range) -> bytes:
    """What the model logs."""
    return b"".join(
        [
            b'{"n":%d,"level":"info","msg":"prediction served","score":%d.10,"inputs":{"amount":%d}}\n' % (n, n, n)
            for n in numbers
        ]
    )


def deliver_through_kills(folder: Path, peer: Peer, settings: dict[str, Any]) -> None:
    """Write all records and have them delivered, with the agent killed in the middle, and the peer after that."""
    log = folder / "model.log"
    output = {"hosts": [peer.url], "delivery": DELIVERY, **settings}
    config = {"inputs": [{"type": "file", "paths": [str(log)]}], "outputs": [output]}
    log.write_bytes(lines(range(RECORDS // 2)))
    with AgentProcess(folder, config) as agent:
        agent.start()
        peer.wait_until_larger(0)
        agent.kill()
        between = peer.size()
        agent.start()
        peer.wait_until_larger(between)
        peer.kill()
        with log.open("ab") as file:
            file.write(lines(range(RECORDS // 2, RECORDS)))
        agent.wait_until_said("An output does not take records; they stay in the queue")
        peer.start()
        agent.wait_until_queued_is_zero(RECORDS)
        assert agent.stop() == 0, agent.log_text()
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    assert sum(line.accepted for line in ledger.inputs.values()) == RECORDS
    assert [line.fates for line in ledger.outputs.values()] == [{"delivered": RECORDS}]


def test_webhook_has_every_record_after_kills(tmp_path: Path) -> None:
    """At least once, and each repeat is the same document under the same id."""
    with fake(tmp_path, "webhook") as peer:
        deliver_through_kills(tmp_path, peer, {"type": "http"})
        received = [line.partition(b" ") for line in peer.file.read_bytes().split(b"\n")[:-1]]
    documents = {record: json.loads(document) for record, _, document in received}
    assert len({(record, document) for record, _, document in received}) == len(documents)
    found = Found.of("http", RECORDS, (document["fields"]["n"] for document in documents.values()))
    assert found.exact, found


def test_loki_has_every_line_after_kills(tmp_path: Path) -> None:
    """At least once, and a line that came twice is the same to the last bit: stream, time and text."""
    with fake(tmp_path, "loki") as peer:
        deliver_through_kills(tmp_path, peer, {"type": "loki"})
        kept = {line.partition(b" ")[2] for line in peer.file.read_bytes().split(b"\n")[:-1]}
    lines = [json.loads(text) for text in kept]
    assert len({stream for stream, _, _ in lines}) == 1
    found = Found.of("loki", RECORDS, (json.loads(line)["fields"]["n"] for _, _, line in lines))
    assert found.exact, found


def test_otlp_reaches_another_modeltail_through_kills(tmp_path: Path) -> None:
    """At least once: OTLP has nothing by which a repeat would be known, but the id travels with the record."""
    with other_modeltail(tmp_path / "peer") as peer:
        deliver_through_kills(tmp_path, peer, {"type": "otlp"})
    received = [json.loads(line) for line in peer.file.read_bytes().split(b"\n")[:-1]]
    by_id = {record["fields"]["log.record.uid"]: record for record in received}
    found = Found.of("otlp", RECORDS, (record["fields"]["fields.n"] for record in by_id.values()))
    assert found.exact, found
    one = next(record for record in received if record["fields"]["fields.n"] == RECORDS - 1)
    assert (one["message"], one["log"]["level"], one["service"]["name"]) == (
        "prediction served",
        "info",
        "fraud-scorer",
    )
    assert one["fields"]["ml.inputs.amount"] == RECORDS - 1
