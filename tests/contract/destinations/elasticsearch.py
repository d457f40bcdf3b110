"""The fake Elasticsearch; ``test_elasticsearch.py`` holds it to the real one."""

from typing import Any

from agent.delivery.contract import Output
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.faults import hangs_up, refuses


class ElasticsearchDestination(Destination):
    """One node."""

    recognises = True
    rejects = True

    async def __aenter__(self) -> "ElasticsearchDestination":
        self._server = FakeElasticsearch()
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    def output(self, **settings: Any) -> Output:
        return ElasticsearchOutput(ElasticsearchConfig(id="it", hosts=[self._server.url], **settings))

    async def received(self) -> list[str]:
        return [record for stream in self._server.streams for record, _ in self._server.documents(stream)]

    async def documents(self) -> dict[str, bytes]:
        return dict(pair for stream in self._server.streams for pair in self._server.documents(stream))

    async def go_away(self) -> None:
        await self._server.go_away()

    async def come_back(self) -> None:
        await self._server.come_back()

    def lose_answer(self) -> None:
        self._server.faults.append(hangs_up(taken=True))

    def throttle(self, requests: int) -> None:
        self._server.faults.extend([refuses(429)] * requests)

    def poison(self, record: str) -> None:
        self._server.poisoned.add(record)
