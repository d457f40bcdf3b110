"""Keys that are wrong and rights that are missing, at a moto that checks signatures and policies."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agent.delivery.contract import Outcome, Output
from agent.errors import Paused
from agent.outputs.firehose.config import FirehoseConfig
from agent.outputs.firehose.output import FirehoseOutput
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.kinesis.output import KinesisOutput
from tests.fakes.batches import batch_of, document
from tests.servers import ServerUnavailable, unavailable
from tests.servers.aws_api import AwsApi
from tests.servers.moto import REGION, MotoServer

RIGHTS = ("kinesis:PutRecords", "kinesis:DescribeStreamSummary")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A stream, and the keys of a user who may write to it, as an output's settings."""
    server = MotoServer(tmp_path_factory.mktemp("moto"), open_for=4)

    async def prepare() -> dict[str, Any]:
        api = AwsApi(server.url)
        await api.ask("kinesis", "CreateStream", StreamName="inference", ShardCount=1)
        keys = await api.make_user("writer", *RIGHTS)
        return {"stream": "inference", "region": REGION, "endpoint": server.url, **keys}

    try:
        server.start()
        yield asyncio.run(prepare())
    except ServerUnavailable as error:
        unavailable(error)
    finally:
        server.kill()


def refused(output: Output) -> str:
    """What an output says that may not write; its check says the same."""

    async def talk() -> str:
        async with output:
            with pytest.raises(Paused) as caught:
                await output.send(batch_of([document(1)]))
            (problem,) = await output.check()
            assert str(caught.value).partition(":")[0] in problem
            return str(caught.value)

    return asyncio.run(talk())


@pytest.mark.parametrize("count", [1, 2000])
def test_right_keys_are_enough(settings: dict[str, Any], count: int) -> None:
    """The two rights that the documentation names, and a signature that is good for a large body too."""

    async def talk() -> None:
        async with KinesisOutput(KinesisConfig(**settings, aggregation="kpl")) as output:
            assert await output.check() == []
            assert await output.send(batch_of([document(n) for n in range(count)])) == Outcome()

    asyncio.run(talk())


def test_wrong_secret_pauses(settings: dict[str, Any]) -> None:
    """Nothing is lost by a mistake in the keys."""
    said = refused(KinesisOutput(KinesisConfig(**{**settings, "secret_access_key": "wrong"})))
    assert "SignatureDoesNotMatch" in said


def test_unknown_key_pauses(settings: dict[str, Any]) -> None:
    """Nor by one that was deleted."""
    said = refused(KinesisOutput(KinesisConfig(**{**settings, "access_key_id": "AKIDNOBODYS"})))
    assert "InvalidClientTokenId" in said


def test_missing_right_pauses_and_is_named(settings: dict[str, Any]) -> None:
    """The user may write to Kinesis, not to Firehose."""
    said = refused(FirehoseOutput(FirehoseConfig(**settings)))
    assert "not allowed" in said
    assert "firehose:PutRecordBatch" in said
