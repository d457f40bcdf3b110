"""The fake of Logstash's input ``http``."""

from typing import Any

from agent.delivery.contract import Output
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.http import LogstashHttpOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.logstash_http import FakeLogstashHttp, answers, hangs_up


class LogstashHttp(Destination):
    """One Logstash, by its input ``http``. It refuses no record: what is no JSON becomes an event that says so."""

    async def __aenter__(self) -> "LogstashHttp":
        self._server = FakeLogstashHttp()
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    def output(self, **settings: Any) -> Output:
        return LogstashHttpOutput(LogstashConfig(id="it", protocol="http", hosts=[self._server.url], **settings))

    async def received(self) -> list[str]:
        return [event.record for event in self._server.taken]

    async def documents(self) -> dict[str, bytes]:
        return {event.record: event.document for event in self._server.taken}

    async def go_away(self) -> None:
        await self._server.go_away()

    async def come_back(self) -> None:
        await self._server.come_back()

    def lose_answer(self) -> None:
        self._server.faults.append(hangs_up(taken=True))

    def throttle(self, requests: int) -> None:
        self._server.faults.extend([answers(429)] * requests)
