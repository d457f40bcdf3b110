"""The other end of the output `loki`."""

import json
from pathlib import Path
from typing import Any

from agent.outputs.instant import unix_ns
from agent.outputs.loki.config import LokiConfig
from agent.outputs.loki.output import LokiOutput
from tests.contract.destinations.receiving import ReceiverDestination
from tests.fakes.batches import document
from tests.fakes.loki import Loki


class LokiDestination(ReceiverDestination):
    """A Loki that takes lines one by one. Its clock stands where the suite's documents were written, or they would be
    too old for it."""

    rejects = True

    def __init__(self, folder: Path) -> None:
        written = json.loads(document(0))["@timestamp"]
        super().__init__(folder, Loki(now_ns=unix_ns(written)))

    def output(self, **settings: Any) -> LokiOutput:
        """An output towards it."""
        return LokiOutput(LokiConfig(**{"id": "it", "hosts": [self.server.url], **settings}))

    async def documents(self) -> dict[str, bytes]:
        """The lines that are there, by id."""
        return {record: json.loads(kept)[2].encode() for record, kept in self.server.records}
