"""Elasticsearch and OpenSearch: the fake, which the suite of `test_elasticsearch.py` holds against the real ones."""

from pathlib import Path
from typing import Any, Self

from agent.delivery.contract import Output
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.output import OpensearchOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.faults import hangs_up, refuses


class ElasticsearchDestination(Destination):
    """The fake as Elasticsearch."""

    recognises = True
    rejects = True
    is_opensearch = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = FakeElasticsearch(is_opensearch=self.is_opensearch)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    def output(self, **settings: Any) -> Output:
        return ElasticsearchOutput(ElasticsearchConfig(id="it", hosts=[self._server.url], **settings))

    async def received(self) -> list[str]:
        return [record for stream in self._server.streams for record, _ in self._server.documents(stream)]

    async def documents(self) -> dict[str, bytes]:
        return {record: text for stream in self._server.streams for record, text in self._server.documents(stream)}

    async def go_away(self) -> None:
        await self._server.go_away()

    async def come_back(self) -> None:
        await self._server.come_back()

    def lose_answer(self) -> None:
        self._server.faults.append(hangs_up(taken=True))

    def throttle(self, requests: int) -> None:
        self._server.faults.extend(refuses(429, "too much") for _ in range(requests))

    def poison(self, record: str) -> None:
        self._server.poisoned.add(record)


class OpensearchDestination(ElasticsearchDestination):
    """The fake as OpenSearch."""

    is_opensearch = True

    def output(self, **settings: Any) -> Output:
        return OpensearchOutput(OpensearchConfig(id="it", hosts=[self._server.url], **settings))
