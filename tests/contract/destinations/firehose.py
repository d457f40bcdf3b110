"""Firehose: moto's server behind a layer of faults; what it delivers is in a bucket of moto's at once."""

import itertools
import json
from pathlib import Path
from typing import Any, ClassVar, Self

from agent.delivery.contract import Output
from agent.outputs.firehose.config import FirehoseConfig
from agent.outputs.firehose.output import FirehoseOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.aws_faults import AwsFaults, hangs_up, says
from tests.servers.aws_api import AwsApi
from tests.servers.moto import KEYS, REGION, shared_moto

_numbers = itertools.count()


class Firehose(Destination):
    """A stream and a bucket of its own for each."""

    # It looks at sizes and at nothing that is in a record, so `rejects` is false; repeats are its readers' to know.

    examples: ClassVar[int] = 10

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stream = f"firehose-{next(_numbers)}"
        self._proxy = AwsFaults(shared_moto().url)
        self._api = AwsApi(shared_moto().url)

    async def __aenter__(self) -> Self:
        await self._api.make_firehose(self.stream)
        await self._proxy.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._proxy.__aexit__(*exc)
        await self._api.remove_firehose(self.stream)

    @property
    def proxy(self) -> AwsFaults:
        """The layer of faults."""
        return self._proxy

    def output(self, **settings: Any) -> Output:
        """An output to the stream."""
        where = {"region": REGION, "endpoint": self._proxy.url, "stream": self.stream, **KEYS}
        return FirehoseOutput(FirehoseConfig(**{"id": "it", **where, **settings}))

    async def received(self) -> list[str]:
        """The ids of the lines of all objects."""
        return [json.loads(line)["event"]["id"] for line in await self._lines()]

    async def documents(self) -> dict[str, bytes]:
        """The lines of all objects."""
        return {json.loads(line)["event"]["id"]: line for line in await self._lines()}

    async def _lines(self) -> list[bytes]:
        return [line for content in await self._api.objects(self.stream) for line in content.splitlines()]

    async def go_away(self) -> None:
        """The layer of faults goes; what moto has stays."""
        await self._proxy.go_away()

    async def come_back(self) -> None:
        """And comes back."""
        await self._proxy.come_back()

    def lose_answer(self) -> None:
        """The records are there, and the connection breaks."""
        self._proxy.faults.append(hangs_up(taken=True))

    def throttle(self, requests: int) -> None:
        """The whole call is too much."""
        self._proxy.faults += [says(503, "ServiceUnavailableException", "Slow down.") for _ in range(requests)]
