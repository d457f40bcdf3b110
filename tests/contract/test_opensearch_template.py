"""What the index template makes of documents in the real OpenSearch: what can be searched, and what does no harm."""

import asyncio
import json
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.outputs.opensearch.output import OpensearchOutput
from tests.contract.clusters import config_for, output_of
from tests.fakes.batches import STREAM, batch_of, document
from tests.servers.opensearch import OpensearchServer


def stored(server: OpensearchServer, *documents: bytes) -> tuple[str, DeliveryBatch, Outcome]:
    """The data stream these documents were sent to, the batch they went in, and what became of them."""
    config = config_for(server.url, is_opensearch=True, request_timeout=20.0)
    batch = batch_of(documents)

    async def play() -> Outcome:
        async with output_of(config) as output:
            return await output.send(batch)

    outcome = asyncio.run(play())
    stream = config.data_stream.replace("{dataset}-{namespace}", STREAM)
    server.request("POST", f"/{stream}/_refresh")
    return stream, batch, outcome


@pytest.mark.parametrize(
    "query",
    [
        {"range": {"ml.metrics.loss": {"gt": 0.4}}},
        {"range": {"ml.metrics.loss.train": {"gt": 0.4}}},
        {"term": {"labels.team": "risk"}},
        {"query_string": {"query": "labels.team: risk"}},
        {"term": {"ml.model.name": "fraud-scorer"}},
        {"match": {"message": "record"}},
    ],
    ids=str,
)
def test_what_can_be_searched(opensearch: OpensearchServer, query: dict[str, Any]) -> None:
    """Metrics as numbers, labels by any key, the fields of the Elastic Common Schema."""
    metrics = {"loss.train": 0.5} if "train" in str(query) else {"loss": 0.5}
    fits = document(0, labels={"team": "risk"}, ml={"model": {"name": "fraud-scorer"}, "metrics": metrics})
    other = b'{"@timestamp":"2026-11-22T10:00:00Z","labels":{"team":"care"},"ml":{"metrics":{"score":7}}}'
    stream, batch, outcome = stored(opensearch, fits, other)
    assert outcome == Outcome()
    hits = opensearch.request("POST", f"/{stream}/_search", {"query": query})["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == batch.ids()[:1]


@pytest.mark.parametrize("name", ["x.y", "x.y.z", "a b", "é"])
@pytest.mark.parametrize("value", ["1", "-1e400", '"NaN"', "true", "null", "[]", "[1,2.5]"])
def test_any_metric_is_taken(opensearch: OpensearchServer, name: str, value: str) -> None:
    """Whatever its value, and wherever dots stand within its name, without waiting for anything."""
    _, _, outcome = stored(opensearch, document(0)[:-1] + f',"ml":{{"metrics":{{"{name}":{value}}}}}}}'.encode())
    assert outcome == Outcome()


def test_a_metric_below_a_number_is_refused_for_what_it_is(opensearch: OpensearchServer) -> None:
    """It is a path here. Its neighbours are taken, and rescued it is taken too."""
    config = config_for(opensearch.url, is_opensearch=True)
    texts = [document(n, ml={"metrics": metrics}) for n, metrics in enumerate([{"a": 1}, {"a.b": 2}, {"a": 3}])]

    async def play() -> None:
        async with output_of(config) as output:
            assert isinstance(output, OpensearchOutput)
            batch = batch_of(texts)
            outcome = await output.send(batch)
            assert list(outcome.rejected) == [1]
            (record,) = batch.subset([1]).ids()
            safe = output.rescue(record, texts[1], outcome.rejected[1])
            assert await output.send(DeliveryBatch.of_documents(STREAM, [record], [safe])) == Outcome()

    asyncio.run(play())


def test_deep_payloads_do_the_server_no_harm(opensearch: OpensearchServer) -> None:
    """Hundreds of levels with long names, and values of any length, are kept as they were written."""
    deep = json.dumps("leaf")
    for _ in range(900):
        deep = f'{{"{"k" * 300}":{deep}}}'
    body = f',"ml":{{"inputs":{deep},"outputs":{{"text":"{"x" * 100_000}"}}}},"fields":{{"prompt":"{"y" * 100_000}"}}}}'
    text = document(0)[:-1] + body.encode()
    stream, batch, outcome = stored(opensearch, text)
    assert outcome == Outcome()
    (record,) = batch.ids()
    answer = opensearch.request_bytes("POST", f"/{stream}/_search", {"query": {"ids": {"values": [record]}}})
    assert b'"_source":' + text in answer
