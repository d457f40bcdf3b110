"""Kinesis: moto's server behind a layer of faults."""

import itertools
import json
from pathlib import Path
from typing import Any, Self

from agent.delivery.contract import Output
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.kinesis.output import KinesisOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.aws_faults import AwsFaults, fails_records, hangs_up
from tests.servers.aws_api import AwsApi
from tests.servers.moto import KEYS, REGION, shared_moto

_numbers = itertools.count()


class Kinesis(Destination):
    """A stream of its own for each."""

    # It looks at sizes and at nothing that is in a record, so `rejects` is false; repeats are its consumers' to know.

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stream = f"stream-{next(_numbers)}"
        self._proxy = AwsFaults(shared_moto().url)
        self._api = AwsApi(shared_moto().url)

    async def __aenter__(self) -> Self:
        await self._api.make_stream(self.stream)
        await self._proxy.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._proxy.__aexit__(*exc)

    @property
    def proxy(self) -> AwsFaults:
        """The layer of faults."""
        return self._proxy

    def output(self, **settings: Any) -> Output:
        """An output to the stream."""
        where = {"region": REGION, "endpoint": self._proxy.url, "stream": self.stream, **KEYS}
        return KinesisOutput(KinesisConfig(**{"id": "it", **where, **settings}))

    async def received(self) -> list[str]:
        """The ids of all documents in all records."""
        return [json.loads(document)["event"]["id"] for document in await self._api.documents(self.stream)]

    async def documents(self) -> dict[str, bytes]:
        """All documents in all records."""
        return {json.loads(d)["event"]["id"]: d for d in await self._api.documents(self.stream)}

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
        """Each record comes back as too much for its shard."""
        code = "ProvisionedThroughputExceededException"
        self._proxy.faults += [fails_records(None, code, "Rate exceeded for shard") for _ in range(requests)]
