"""Records posted to the real agent, which is killed, cannot deliver, or is told to stop meanwhile: what was answered
200 is in the queue."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_the_store

RECORDS = 2_000
SECONDS = 4.0
KILLS = 3
BATCHED_PER_SECOND = 40_000
MOST = 1_000_000


def free_port() -> int:
    """A port nobody has at the moment, to be listened on again after a kill."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def agent_in(folder: Path, kind: str, output: dict[str, Any], port: int = 0, **changes: Any) -> AgentProcess:
    """An agent with an input of this kind."""
    inputs = [{"type": kind, "listen": f"127.0.0.1:{port}", **changes.pop("input", {})}]
    return AgentProcess(folder, {"inputs": inputs, "outputs": [output], **changes})


def address_of(agent: AgentProcess) -> str:
    """Where its input listens."""
    agent.wait_until_said("An input is listening")
    address: str = agent.said("An input is listening")[-1]["address"]
    return address


class Poster(threading.Thread):
    """Posts batches of numbered records on one connection until told to stop; notes which were answered 200, and how
    often it was told to come again."""

    def __init__(self, port: int, first: int, step: int, batch: int) -> None:
        super().__init__()
        self._port = port
        self._next = first
        self._step = step
        self._batch = batch
        self.stopping = threading.Event()
        self.acknowledged: list[int] = []
        self.turned_away = 0

    def run(self) -> None:
        """One request after another."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.stopping.is_set():
            numbers = [self._next + self._step * i for i in range(self._batch)]
            self._next += self._step * self._batch
            body = b"\n".join(b'{"n":%d,"pad":"%s"}' % (n, os.urandom(150).hex().encode()) for n in numbers)
            self.stopping.wait(self._batch / BATCHED_PER_SECOND)
            try:
                connection.request("POST", "/", body, {"Content-Type": "application/x-ndjson"})
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.stopping.wait(0.02)
                continue
            if answer.status == 200:
                assert json.loads(said) == {"accepted": self._batch}
                self.acknowledged += numbers
            else:
                assert answer.status in (429, 503)
                self.turned_away += 1
        connection.close()


def posting(port: int, batches: Sequence[int] = (1, 1, 1, 1, 50, 5000)) -> list[Poster]:
    """Some post single records, some many, each with numbers of its own."""
    posters = [Poster(port, first, len(batches), batch) for first, batch in enumerate(batches)]
    for poster in posters:
        poster.start()
    return posters


def stop(posters: list[Poster]) -> list[int]:
    """End them; the numbers acknowledged."""
    for poster in posters:
        poster.stopping.set()
    for poster in posters:
        poster.join()
    return [n for poster in posters for n in poster.acknowledged]


def test_what_was_answered_200_survives_kills(tmp_path: Path) -> None:
    """Single records and batches, three SIGKILLs: every record acknowledged is in the store in the end."""
    port, store = free_port(), tmp_path / "store"
    with agent_in(tmp_path, "http", {"type": "local", "path": str(store)}, port) as agent:
        agent.start()
        posters = posting(port)
        for _ in range(KILLS):
            time.sleep(0.7)
            agent.kill()
            agent.start()
        time.sleep(0.5)
        acknowledged = stop(posters)
        agent.wait_until_queued_is_zero(0)
        assert agent.stop() == 0
    assert all(poster.acknowledged for poster in posters)
    stored = list(in_the_store(store, MOST))
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))


def test_a_queue_that_stays_full_holds_exactly_what_was_answered_200(tmp_path: Path) -> None:
    """Nothing of a request answered 429 is in it."""
    dead = {"type": "elasticsearch", "hosts": [f"http://127.0.0.1:{free_port()}"]}
    queue = {"path": str(tmp_path / "queue"), "min_free": 0, "max_bytes": "32MiB"}
    with agent_in(tmp_path, "http", dead, queue=queue, grace="2s", input={"full_wait": "50ms"}) as agent:
        agent.start()
        # None so large that a part of it may be in: that one would wait, not be turned away.
        posters = posting(int(address_of(agent).rpartition(":")[2]), [1, 1, 1, 300, 1000])
        deadline = time.monotonic() + 60
        while not all(poster.turned_away > 2 for poster in posters):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        acknowledged = stop(posters)
        ledger = agent.ledger()
        assert ledger["balances"]
        assert ledger["inputs"]["http"]["accepted"] == len(acknowledged)
        assert ledger["outputs"]["elasticsearch"]["queued"] == len(acknowledged)
        agent.kill()


def test_a_stop_loses_nothing_that_was_answered_200(tmp_path: Path) -> None:
    """SIGTERM under load: what is under way is finished, and exactly what was acknowledged is there."""
    store = tmp_path / "store"
    with agent_in(tmp_path, "http", {"type": "local", "path": str(store)}) as agent:
        agent.start()
        posters = posting(int(address_of(agent).rpartition(":")[2]))
        time.sleep(0.7)
        assert agent.stop() == 0
        acknowledged = stop(posters)
        agent.start()  # what the output had no time for is in the queue
        agent.wait_until_queued_is_zero(0)
        assert agent.stop() == 0
    assert sorted(in_the_store(store, MOST)) == sorted(acknowledged)


def test_curl_posts_lines_an_array_and_a_large_file(tmp_path: Path) -> None:
    """With its default content type, gzip, and `Expect: 100-continue`."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    store, large = tmp_path / "store", tmp_path / "large.ndjson"
    large.write_bytes(b"".join(b'{"n":%d,"pad":"%s"}\n' % (n, b"x" * 400) for n in range(10, 10_010)))
    with agent_in(tmp_path, "http", {"type": "local", "path": str(store)}) as agent:
        agent.start()
        url = f"http://{address_of(agent)}/"

        def curl(*arguments: str) -> bytes:
            done = subprocess.run(["curl", "-sS", url, *arguments], capture_output=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert curl("-d", '{"n": 1}') == b'{"accepted":1}'
        assert curl("-H", "Content-Type: application/json", "-d", '[{"n": 2}, {"n": 3}]') == b'{"accepted":2}'
        subprocess.run(["gzip", "-k", str(large)], check=True)
        assert curl("--data-binary", f"@{large}") == b'{"accepted":10000}'
        assert (
            curl("-H", "Content-Encoding: gzip", "-H", "Expect: 100-continue", "--data-binary", f"@{large}.gz")
            == b'{"accepted":10000}'
        )
        agent.wait_until_queued_is_zero(20_003)
        assert agent.stop() == 0
    assert sorted(in_the_store(store, 100_000)) == sorted([1, 2, 3, *range(10, 10_010), *range(10, 10_010)])


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_opentelemetry_sdk_exports_through_kills(compression: str, tmp_path: Path) -> None:
    """What its exporter was told is taken is in the store in the end; it sends the rest again by itself."""
    port, store = free_port(), tmp_path / "store"
    with agent_in(tmp_path, "otlp", {"type": "local", "path": str(store)}, port) as agent:
        agent.start()
        endpoint = f"http://127.0.0.1:{port}/v1/logs"
        arguments = [endpoint, compression, str(RECORDS), str(SECONDS)]
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.e2e.otlp_model", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as model:
            for _ in range(2):
                time.sleep(1.3)
                agent.kill()
                agent.start()
            printed, complaints = model.communicate(timeout=120)
        assert model.returncode == 0, complaints.decode()
        acknowledged = {int(n) for n in printed.split()}
        agent.wait_until_queued_is_zero(0)
        assert agent.stop() == 0
    assert len(acknowledged) > RECORDS / 2, complaints.decode()
    assert acknowledged <= set(in_the_store(store, 10 * RECORDS))
