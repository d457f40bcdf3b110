"""The output ``kinesis`` against a second maker's server, which knows records of more than 1 MiB."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.kinesis.output import KinesisOutput
from tests.servers import ServerUnavailable, unavailable
from tests.servers.aws_api import AwsApi
from tests.servers.kinesis_local import KinesisLocal, kinesis_local
from tests.servers.moto import KEYS, REGION

MIB = 1024**2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KinesisLocal]:
    """One for all tests here; use streams of your own."""
    try:
        with kinesis_local(tmp_path_factory.mktemp("kinesis")) as running:
            yield running
    except ServerUnavailable as error:
        unavailable(error)


def output_to(server: KinesisLocal, stream: str, **settings: Any) -> KinesisOutput:
    """An output to a stream."""
    where = {"region": REGION, "endpoint": server.url, "stream": stream, **KEYS}
    return KinesisOutput(KinesisConfig(**{**where, **settings}))


def batch_of(*sizes: int) -> DeliveryBatch:
    """Documents of about these sizes, that do not shrink when nothing compresses them."""
    documents = [json.dumps({"event": {"id": f"id-{n}"}, "m": "x" * size}).encode() for n, size in enumerate(sizes)]
    return DeliveryBatch.of_documents("s", [f"id-{n}" for n in range(len(sizes))], documents)


@pytest.mark.parametrize("aggregation", ["gzip", "kpl", "none"])
def test_documents_arrive_in_every_form(server: KinesisLocal, aggregation: str) -> None:
    """Byte for byte, each once."""

    async def talk() -> None:
        api, stream, batch = AwsApi(server.url), f"form-{aggregation}", batch_of(*range(700))
        await api.make_stream(stream)
        async with output_to(server, stream, aggregation=aggregation) as output:
            assert await output.check() == []
            assert await output.send(batch) == Outcome()
        assert sorted(await api.documents(stream)) == sorted(batch.documents())

    asyncio.run(talk())


def test_stream_that_was_told_to_take_larger_records_is_sent_them(server: KinesisLocal) -> None:
    """The limit is the stream's own, also when it was raised after the output had asked."""

    async def talk() -> None:
        api = AwsApi(server.url)
        await api.make_stream("raised")
        arn = (await api.summary("raised"))["StreamARN"]
        async with output_to(server, "raised", aggregation="none") as output:
            assert list((await output.send(batch_of(10, 2 * MIB))).too_large) == [1]
            await api.ask("kinesis", "UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=3072)
            assert await output.send(batch_of(10, 2 * MIB)) == Outcome()

    asyncio.run(talk())


def test_record_the_stream_refuses_does_not_hold_up_the_others(server: KinesisLocal) -> None:
    """The limit was lowered behind our back: the one document is refused with the server's words, its neighbour is
    there."""

    async def talk() -> None:
        api = AwsApi(server.url)
        await api.make_stream("lowered")
        arn = (await api.summary("lowered"))["StreamARN"]
        await api.ask("kinesis", "UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=3072)
        async with output_to(server, "lowered", aggregation="none") as output:
            assert await output.send(batch_of(2 * MIB)) == Outcome()
            await api.ask("kinesis", "UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=1024)
            outcome = await output.send(batch_of(10, 2 * MIB))
            assert list(outcome.rejected) == [1]
            assert "max record size" in outcome.rejected[1]

    asyncio.run(talk())
