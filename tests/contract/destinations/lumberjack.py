"""The fake reader of lumberjack; ``test_lumberjack_peers.py`` holds the output to real ones."""

from typing import Any

from agent.delivery.contract import Output
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.lumberjack import LumberjackOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.lumberjack import FakeLumberjack, loses_answer


class Lumberjack(Destination):
    """One Logstash, by its input ``beats``."""

    rejects = True
    throttles = False  # there is no such answer: what is too much waits

    async def __aenter__(self) -> "Lumberjack":
        self._server = FakeLumberjack()
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    def output(self, **settings: Any) -> Output:
        return LumberjackOutput(LogstashConfig(id="it", hosts=[self._server.host], **settings))

    async def received(self) -> list[str]:
        return [event.record for event in self._server.taken]

    async def documents(self) -> dict[str, bytes]:
        return {event.record: event.document for event in self._server.taken}

    async def go_away(self) -> None:
        await self._server.go_away()

    async def come_back(self) -> None:
        await self._server.come_back()

    def lose_answer(self) -> None:
        self._server.faults.append(loses_answer)

    def poison(self, record: str) -> None:
        self._server.poisoned.add(record)
