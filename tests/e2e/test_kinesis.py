"""A model's log to Kinesis and to Firehose: the agent killed, the other end killed and begun anew, and trouble of AWS's
kind in between."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.ledger import read_ledger
from tests.e2e.agent_process import AgentProcess
from tests.fakes.aws_faults import AwsFaults, fails_records, hangs_up, says
from tests.servers import ServerUnavailable, unavailable
from tests.servers.aws_api import AwsApi
from tests.servers.kinesis_local import KinesisLocal
from tests.servers.moto import KEYS, REGION, MotoServer
from tests.servers.process import ServerProcess

LONG = os.environ.get("MODELTAIL_SOAK") == "1"
RECORDS = 100_000 if LONG else 20_000
SECONDS = 20.0 if LONG else 4.0
STREAM = "inference"

Prepare = Callable[[AwsApi], Awaitable[None]]
Read = Callable[[AwsApi], Awaitable[list[bytes]]]


def _agent(folder: Path, log: Path, output: dict[str, Any]) -> AgentProcess:
    return AgentProcess(
        folder,
        {
            "inputs": [{"type": "file", "paths": [str(log)]}],
            "outputs": [
                {
                    "region": REGION,
                    "stream": STREAM,
                    "delivery": {"backoff_initial": "50ms", "backoff_max": "500ms", "batch_records": 1000},
                    **KEYS,
                    **output,
                }
            ],
        },
    )


def _model(log: Path) -> "subprocess.Popen[bytes]":
    arguments = [str(log), str(RECORDS), "3", str(SECONDS)]
    return subprocess.Popen([sys.executable, "-m", "tests.e2e.model_log", *arguments])


async def _collect(
    folder: Path, server: ServerProcess, url: str, output: dict[str, Any], prepare: Prepare, read: Read
) -> list[bytes]:
    """Everything the other end ever held once the model has written and the agent is through. Before the server is
    killed, which makes it forget, and while nobody can reach it, what it acknowledged is read."""
    api, log = AwsApi(url), folder / "model.log"
    await prepare(api)
    async with AwsFaults(url) as front:
        with _agent(folder, log, {**output, "endpoint": front.url}) as agent:
            await asyncio.to_thread(agent.start)
            with _model(log) as model:
                await asyncio.sleep(SECONDS * 0.25)
                agent.kill()
                await asyncio.to_thread(agent.start)
                front.faults += [
                    fails_records([0], "InternalFailure", taken=True),
                    hangs_up(taken=True),
                    fails_records(None, "ProvisionedThroughputExceededException"),
                    says(500, "InternalFailure"),
                    hangs_up(taken=False),
                ]
                await asyncio.sleep(SECONDS * 0.25)
                await front.go_away()
                there = await read(api)
                server.kill()
                await asyncio.to_thread(server.start)
                await prepare(api)
                await front.come_back()
                assert await asyncio.to_thread(model.wait, 120) == 0
            await asyncio.to_thread(agent.wait_until_queued_is_zero, RECORDS)
            assert await asyncio.to_thread(agent.stop) == 0, agent.log_text()
        assert not front.faults
    assert there, "the server was killed before anything was there"
    ledger = read_ledger(agent.queue)
    assert ledger.balances
    (line,) = ledger.outputs.values()
    assert line.fates == {"delivered": RECORDS}
    return there + await read(api)


def _check(documents: list[bytes]) -> None:
    """Every record is there, and what is there twice is so under one id."""
    numbers: dict[str, int] = {}
    for document in documents:
        content = json.loads(document)
        number = numbers.setdefault(content["event"]["id"], content["fields"]["n"])
        assert number == content["fields"]["n"]
    assert sorted(numbers.values()) == list(range(RECORDS))


def _run(server: ServerProcess, collecting: Awaitable[list[bytes]]) -> None:
    async def run() -> list[bytes]:
        return await collecting

    try:
        _check(asyncio.run(run()))
    finally:
        server.kill()


def test_every_record_is_in_kinesis_once_by_its_id(tmp_path: Path) -> None:
    """kinesis-local and the agent are killed; throttling, failures inside and lost answers come on top."""
    try:
        server = KinesisLocal(tmp_path)
        server.start()
    except ServerUnavailable as error:
        unavailable(error)

    async def prepare(api: AwsApi) -> None:
        await api.make_stream(STREAM)

    async def read(api: AwsApi) -> list[bytes]:
        return await api.documents(STREAM)

    _run(server, _collect(tmp_path, server, server.url, {"type": "kinesis"}, prepare, read))


def test_every_record_is_in_the_objects_of_firehose_once_by_its_id(tmp_path: Path) -> None:
    """The same with Firehose, whose objects in S3 are read."""
    server = MotoServer(tmp_path)
    server.start()

    async def prepare(api: AwsApi) -> None:
        await api.make_firehose(STREAM)

    async def read(api: AwsApi) -> list[bytes]:
        return [line for content in await api.objects(STREAM) for line in content.splitlines()]

    _run(server, _collect(tmp_path, server, server.url, {"type": "firehose"}, prepare, read))
