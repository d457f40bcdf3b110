"""The other end of the output `otlp`."""

from pathlib import Path
from typing import Any

from agent.outputs.otlp.config import OtlpOutputConfig
from agent.outputs.otlp.output import OtlpOutput
from tests.contract.destinations.receiving import ReceiverDestination
from tests.fakes.otlp import OtlpServer


class OtlpDestination(ReceiverDestination):
    """An OTLP server that refuses the whole request for one poisoned record. ``documents`` are bodies: the wire has
    another form for the rest."""

    rejects = True
    keeps_documents = False  # a record is its parts, and the body is one of them

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, OtlpServer())

    def output(self, **settings: Any) -> OtlpOutput:
        """An output towards it."""
        return OtlpOutput(OtlpOutputConfig(**{"id": "it", "hosts": [self.server.url], **settings}))
