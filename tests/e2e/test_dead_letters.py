"""From a refused record to a delivered one: the real agent, the real command, the real server and the fake."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from agent.delivery.dead_letters.folder import DeadLetterCounts, dead_letter_counts
from agent.delivery.dead_letters.letter import DeadLetter
from agent.outputs.elasticsearch.template import index_template
from tests.delivery.test_dead_letters import ids, kept, letter, put
from tests.e2e.agent_process import AgentProcess
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.faults import fails_items, refuses, says_nothing
from tests.servers.elasticsearch import ElasticsearchServer

RECORDS = 600
QUICK = {"backoff_initial": "1ms", "backoff_max": "10ms"}


def _command(*arguments: str, config: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "agent", "dead-letter", *arguments, "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _line(n: int) -> str:
    """Every third record has a field that the strict mapping does not know."""
    return json.dumps({"message": f"record {n}", **({"n": n} if n % 3 == 0 else {})}) + "\n"


def _strict(stream: str) -> dict[str, Any]:
    """Our template as somebody made it strict: without a place for unknown fields, and for what is rescued."""
    template: dict[str, Any] = json.loads(json.dumps(index_template(stream)))
    template["priority"] = 500
    mappings = template["template"]["mappings"]
    mappings["dynamic"] = "strict"
    del mappings["properties"]["fields"], mappings["properties"]["event"]["properties"]["original"]
    return template


def _messages(server: ElasticsearchServer, stream: str) -> list[str]:
    server.request("POST", f"/{stream}/_refresh")
    query = {"size": 10_000, "_source": ["message"]}
    hits = server.request("POST", f"/{stream}/_search", query)["hits"]["hits"]
    return sorted(hit["_source"]["message"] for hit in hits)


def test_replay_after_the_mapping_is_mended_delivers_once(elasticsearch: ElasticsearchServer, tmp_path: Path) -> None:
    """A mapping that refuses even what is rescued makes dead letters; mended, they are replayed beside the running
    agent, and every record is in the index once. Replaying again, even from a copy of the store that was put back after
    a rollover, doubles none."""
    dataset = f"strict.t{os.urandom(6).hex()}"
    stream = f"logs-{dataset}-default"
    elasticsearch.request("PUT", f"/_index_template/{dataset}", _strict(stream))
    log = tmp_path / "model.log"
    log.write_text("".join(map(_line, range(RECORDS // 2))))
    config = {
        "dataset": dataset,
        "inputs": [{"type": "file", "paths": [str(log)]}],
        "outputs": [{"id": "es", "type": "elasticsearch", "hosts": [elasticsearch.url], "from": "oldest"}],
    }
    with AgentProcess(tmp_path, config) as agent:
        agent.start()
        agent.wait_until_queued_is_zero(RECORDS // 2)
        refused = RECORDS // 2 // 3
        assert agent.ledger()["outputs"]["es"]["fates"]["dead_lettered"] == refused
        letters = agent.queue / "dead-letters" / "es"
        assert dead_letter_counts(letters).kept == refused
        listed = _command("list", config=agent.config_file)
        assert f"OUTPUT es: {refused} dead letters" in listed.stdout
        assert "strict_dynamic_mapping_exception" in listed.stdout
        assert _command("replay", config=agent.config_file).returncode == 2  # nothing is mended yet
        assert dead_letter_counts(letters).kept == refused

        shutil.copytree(letters, tmp_path / "copy")
        elasticsearch.request("PUT", f"/{stream}/_mapping", {"dynamic": False})
        with log.open("a") as more:
            more.write("".join(map(_line, range(RECORDS // 2, RECORDS))))
        replayed = _command("replay", config=agent.config_file)
        assert replayed.returncode == 0, replayed.stderr
        assert f"es: {refused} delivered, 0 refused again" in replayed.stdout
        agent.wait_until_queued_is_zero(RECORDS)
        expected = sorted(f"record {n}" for n in range(RECORDS))
        assert _messages(elasticsearch, stream) == expected
        assert dead_letter_counts(letters) == DeadLetterCounts(replayed=refused)
        assert _command("replay", config=agent.config_file).stdout == "There is nothing to send again.\n"

        elasticsearch.request("POST", f"/{stream}/_rollover")
        shutil.rmtree(letters)
        shutil.copytree(tmp_path / "copy", letters)
        again = _command("replay", "es", config=agent.config_file)
        assert f"es: {refused} delivered ({refused} of them were there already)" in again.stdout
        assert _messages(elasticsearch, stream) == expected
        assert agent.stop() == 0


def _config(folder: Path, url: str) -> Path:
    file = folder / "agent.yaml"
    output = {"id": "es", "type": "elasticsearch", "hosts": [url], "delivery": QUICK}
    file.write_text(
        yaml.safe_dump({"inputs": [{"type": "stdin"}], "queue": {"path": str(folder)}, "outputs": [output]})
    )
    return file


async def _replay(config: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await _start(config, *arguments)
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


async def _start(config: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "dead-letter", "replay", "-c", str(config), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


STREAM = "logs-modeltail.s-default"


def _six_letters() -> list[DeadLetter]:
    letters = [letter(n) for n in range(6)]
    for one in letters:
        one.stream = "modeltail.s-default"
    return letters


def test_replay_says_by_its_status_what_became_of_the_letters(tmp_path: Path) -> None:
    """1 when the server cannot be used, 2 when it refuses some again, 0 when all are delivered; each is there once."""
    folder = tmp_path / "dead-letters" / "es"
    put(folder, *_six_letters())

    async def main() -> None:
        async with FakeElasticsearch() as server:
            server.unrefusing = True
            config = _config(tmp_path, server.url)
            server.faults.extend([refuses(503)] * 5)
            status, out, error = await _replay(config)
            assert (status, out) == (1, "es: 0 delivered, 0 refused again\n")
            assert "what was not delivered is still there" in error
            server.faults.append(fails_items({1: 400, 4: 400}, reason="still wrong"))
            status, out, error = await _replay(config)
            assert status == 2, error
            assert out == "es: 4 delivered, 2 refused again\n          2  document_parsing_exception: still wrong\n"
            assert kept(folder) == ids(1, 4)
            assert (await _replay(config, "--id", ids(4)[0]))[0] == 0
            assert (await _replay(config))[0] == 0
            assert sorted(record for record, _ in server.documents(STREAM)) == ids(*range(6))
            assert dict(server.documents(STREAM))[ids(3)[0]] == letter(3).original

    asyncio.run(main())
    assert dead_letter_counts(folder) == DeadLetterCounts(replayed=6)


def test_interrupted_and_killed_replays_lose_and_double_nothing(tmp_path: Path) -> None:
    """Ended by Ctrl-C or killed while the server has the records and has not answered: the next replay finds them
    there, although the data stream rolled over meanwhile."""
    folder = tmp_path / "dead-letters" / "es"
    put(folder, *_six_letters())

    async def main() -> None:
        async with FakeElasticsearch() as server:
            server.unrefusing = True
            config = _config(tmp_path, server.url)
            for ending in (signal.SIGINT, signal.SIGKILL):
                server.faults.append(says_nothing(taken=True))
                process = await _start(config)
                while server.faults:
                    assert process.returncode is None
                    await asyncio.sleep(0.01)
                process.send_signal(ending)
                await process.communicate()
                assert process.returncode == (130 if ending == signal.SIGINT else -signal.SIGKILL)
                assert kept(folder) == ids(*range(6))
            server.rollover(STREAM)
            status, out, error = await _replay(config)
            assert (status, out) == (0, "es: 6 delivered (6 of them were there already), 0 refused again\n"), error
            assert sorted(record for record, _ in server.documents(STREAM)) == ids(*range(6))

    asyncio.run(main())
    assert dead_letter_counts(folder) == DeadLetterCounts(replayed=6)


def test_two_replays_at_the_same_time(tmp_path: Path) -> None:
    """The second says that another is at work, and the first goes on."""
    put(tmp_path / "dead-letters" / "es", *_six_letters())

    async def main() -> None:
        async with FakeElasticsearch() as server:
            server.unrefusing = True
            config = _config(tmp_path, server.url)
            server.faults.append(says_nothing(taken=False))
            first = await _start(config)
            while server.faults:
                assert first.returncode is None
                await asyncio.sleep(0.01)
            status, _, error = await _replay(config)
            assert status == 1
            assert "another command is at work" in error
            first.send_signal(signal.SIGINT)
            await first.communicate()
            assert (await _replay(config))[0] == 0

    asyncio.run(main())
