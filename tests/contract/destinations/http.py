"""The other end of the output `http`."""

from pathlib import Path
from typing import Any

from agent.outputs.http.config import HttpOutputConfig
from agent.outputs.http.output import HttpOutput
from tests.contract.destinations.receiving import ReceiverDestination
from tests.fakes.webhook import Webhook


class HttpDestination(ReceiverDestination):
    """A webhook that refuses the whole request for one poisoned record."""

    rejects = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Webhook())

    def output(self, **settings: Any) -> HttpOutput:
        """An output towards it."""
        return HttpOutput(HttpOutputConfig(**{"id": "it", "hosts": [self.server.url], **settings}))
