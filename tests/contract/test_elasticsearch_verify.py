"""Asking Elasticsearch and OpenSearch which records are there: real servers of every version, and the fake."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch
from agent.errors import NoAnswer, Paused, Retryable
from agent.outputs.elasticsearch.output import BulkOutput
from agent.outputs.elasticsearch.verify import BulkLookup
from tests.contract.clusters import (
    SERVERS,
    Cluster,
    ClusterConfig,
    OpenCluster,
    config_for,
    lookup_of,
    opener,
    output_of,
)
from tests.fakes.batches import STREAM, batch_of, document
from tests.fakes.elasticsearch import FakeElasticsearch

Story = Callable[[Cluster, ClusterConfig, BulkOutput, BulkLookup], Coroutine[Any, Any, None]]


@pytest.fixture(params=SERVERS)
def open_cluster(request: pytest.FixtureRequest) -> OpenCluster:
    """Opens the server under test."""
    return opener(request)


def _play(open_cluster: OpenCluster, story: Story) -> None:
    async def play() -> None:
        async with open_cluster() as cluster:
            config = config_for(cluster.url, is_opensearch=cluster.is_opensearch)
            async with output_of(config) as output, lookup_of(config) as lookup:
                await story(cluster, config, output, lookup)

    asyncio.run(play())


def _name(config: ClusterConfig) -> str:
    return config.data_stream.replace("{dataset}-{namespace}", STREAM)


def _batch(count: int) -> DeliveryBatch:
    return batch_of([document(n) for n in range(count)])


def test_what_was_never_sent_is_missing_and_nothing_else(open_cluster: OpenCluster) -> None:
    """In the order asked, over a rollover, whether a refresh has shown the records or not."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput, lookup: BulkLookup) -> None:
        old, new = _batch(40), _batch(40)
        await output.send(old.subset([i for i in range(40) if i not in (3, 17)]))
        await cluster.documents(_name(config))  # refreshes
        await cluster.rollover(_name(config))
        await output.send(new.subset([i for i in range(40) if i != 39]))  # nobody refreshes these
        ids = old.ids() + new.ids()
        assert await lookup.missing(STREAM, ids) == [old.ids()[3], old.ids()[17], new.ids()[39]]

    _play(open_cluster, story)


def test_thousands_of_ids_fit_one_question(open_cluster: OpenCluster) -> None:
    """As many as a verification asks at once, doubles over a rollover included."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput, lookup: BulkLookup) -> None:
        batch = _batch(5000)
        await output.send(batch)
        await cluster.rollover(_name(config))
        again = batch.subset(range(5000))
        again.in_doubt = False
        await output.send(again)
        await cluster.documents(_name(config))
        assert await lookup.missing(STREAM, batch.ids()) == []

    _play(open_cluster, story)


def test_without_the_data_stream_everything_is_missing(open_cluster: OpenCluster) -> None:
    """Nothing is made by asking."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput, lookup: BulkLookup) -> None:
        ids = _batch(5).ids()
        assert await lookup.missing(STREAM, ids) == ids
        assert await lookup.kept_since_ms(STREAM) is None
        assert await lookup.missing(STREAM, ids) == ids

    _play(open_cluster, story)


def test_age_of_the_oldest_backing_index_is_known(open_cluster: OpenCluster) -> None:
    """What is older than it, retention may have deleted."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput, lookup: BulkLookup) -> None:
        await output.send(_batch(1))
        before = await lookup.kept_since_ms(STREAM)
        await cluster.rollover(_name(config))
        assert before is not None
        assert await lookup.kept_since_ms(STREAM) == before

    _play(open_cluster, story)


def test_a_search_behind_its_refresh_is_not_believed() -> None:
    """What only a real-time look sees is there."""

    async def play() -> None:
        async with FakeElasticsearch() as fake:
            config = config_for(fake.url, is_opensearch=False)
            batch = _batch(9)
            async with output_of(config) as output, lookup_of(config) as lookup:
                await output.send(batch)
                fake.unrefreshed = set(batch.ids()[4:])
                assert await lookup.missing(STREAM, batch.ids()) == []

    asyncio.run(play())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<h1>not here</h1>", Paused),
        (404, b'{"error":{"type":"resource_not_found_exception","reason":"x"}}', Paused),
        (200, b"{}", Paused),
        (200, b"<html>welcome</html>", Paused),
        (200, b'{"timed_out":true,"hits":{"hits":[]}}', Retryable),
        (403, b'{"error":{"type":"security_exception","reason":"x"}}', Paused),
        (503, b"", NoAnswer),
    ],
)
def test_an_answer_that_says_nothing_is_not_taken_for_missing(
    status: int, body: bytes, error: type[Exception], stubborn_server: Callable[..., Any]
) -> None:
    """Of a proxy, another server, or some shards only: nothing is known then."""

    async def play() -> None:
        async with stubborn_server(status, body) as url, lookup_of(config_for(url, is_opensearch=False)) as lookup:
            with pytest.raises(error):
                await lookup.missing(STREAM, _batch(3).ids())

    asyncio.run(play())


@pytest.fixture
def stubborn_server() -> Callable[[int, bytes], AbstractAsyncContextManager[str]]:
    """A server that has one answer for everything."""
    from aiohttp import web
    from aiohttp.test_utils import TestServer

    @asynccontextmanager
    async def serve(status: int, body: bytes) -> AsyncIterator[str]:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(status=status, body=body, content_type="application/json")

        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", answer)
        async with TestServer(app, host="127.0.0.1") as server:
            yield str(server.make_url("")).rstrip("/")

    return serve
