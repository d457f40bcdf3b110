"""The servers that the suites over ``elasticsearch`` and ``opensearch`` run against, and outputs towards them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
import pytest

from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import BulkOutput, ElasticsearchOutput
from agent.outputs.elasticsearch.verify import BulkLookup, ElasticsearchLookup
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.output import OpensearchLookup, OpensearchOutput
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.servers.opensearch import OpensearchServer
from tests.servers.search_node import SearchNode

SERVERS = ["fake", "elasticsearch", "elasticsearch_8", "fake_opensearch", "opensearch"]

ClusterConfig = ElasticsearchConfig | OpensearchConfig


def config_for(url: str, *, is_opensearch: bool, **settings: Any) -> ClusterConfig:
    """A configuration whose data streams, and so whose template, no other test has."""
    form = f"t{os.urandom(6).hex()}-{{dataset}}-{{namespace}}"
    settings = {"id": "it", "hosts": [url], "data_stream": form, **settings}
    return OpensearchConfig(**settings) if is_opensearch else ElasticsearchConfig(**settings)


def output_of(config: ClusterConfig) -> BulkOutput:
    """The output of this configuration."""
    return OpensearchOutput(config) if isinstance(config, OpensearchConfig) else ElasticsearchOutput(config)


def lookup_of(config: ClusterConfig) -> BulkLookup:
    """What asks that output's server for records."""
    return OpensearchLookup(config) if isinstance(config, OpensearchConfig) else ElasticsearchLookup(config)


class Cluster(Protocol):
    """What the suite asks of a server beside the output."""

    url: str
    is_opensearch: bool

    async def documents(self, stream: str) -> list[tuple[str, bytes]]:
        """Id and source text of every document of a data stream, over all its backing indices."""
        ...

    async def create(self, stream: str) -> None:
        """Make the data stream."""
        ...

    async def rollover(self, stream: str) -> None:
        """Give the data stream a new backing index."""
        ...

    async def put_template(self, name: str, template: dict[str, Any]) -> None:
        """Install an index template."""
        ...


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    source: msgspec.Raw = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Search(msgspec.Struct):
    hits: _Hits


class RealCluster:
    """The real server."""

    def __init__(self, server: SearchNode) -> None:
        self.url = server.url
        self.is_opensearch = isinstance(server, OpensearchServer)
        self._server = server

    async def documents(self, stream: str) -> list[tuple[str, bytes]]:
        await asyncio.to_thread(self._server.request, "POST", f"/{quote(stream)}/_refresh")
        text = await asyncio.to_thread(self._server.request_bytes, "GET", f"/{quote(stream)}/_search?size=10000")
        hits = msgspec.json.decode(text, type=_Search).hits.hits
        return [(hit.id, bytes(hit.source)) for hit in hits]

    async def create(self, stream: str) -> None:
        first = {"@timestamp": "2026-11-22T10:00:00Z"}
        await asyncio.to_thread(self._server.request, "PUT", f"/{quote(stream)}/_create/first", first)

    async def rollover(self, stream: str) -> None:
        await asyncio.to_thread(self._server.request, "POST", f"/{quote(stream)}/_rollover")

    async def put_template(self, name: str, template: dict[str, Any]) -> None:
        await asyncio.to_thread(self._server.request, "PUT", f"/_index_template/{name}", template)


class FakeCluster:
    """The fake."""

    def __init__(self, server: FakeElasticsearch) -> None:
        self.url = server.url
        self.is_opensearch = server.is_opensearch
        self._server = server

    async def documents(self, stream: str) -> list[tuple[str, bytes]]:
        return self._server.documents(stream)

    async def create(self, stream: str) -> None:
        self._server.rollover(stream)

    async def rollover(self, stream: str) -> None:
        self._server.rollover(stream)

    async def put_template(self, name: str, template: dict[str, Any]) -> None:
        self._server.templates[name] = template


OpenCluster = Callable[[], AbstractAsyncContextManager[Cluster]]


def opener(request: pytest.FixtureRequest) -> OpenCluster:
    """Opens the server that a fixture with ``params=SERVERS`` asks for."""
    is_fake = request.param.startswith("fake")
    server = None if is_fake else request.getfixturevalue(request.param)

    @asynccontextmanager
    async def open_it() -> AsyncIterator[Cluster]:
        if server is not None:
            yield RealCluster(server)
        else:
            async with FakeElasticsearch(is_opensearch=request.param == "fake_opensearch") as fake:
                yield FakeCluster(fake)

    return open_it
