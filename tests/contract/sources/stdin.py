"""Standard input, as a source."""

import os
from pathlib import Path

from agent.inputs.contract import Input
from agent.inputs.stdin.config import StdinConfig
from agent.inputs.stdin.input import StdinInput
from tests.contract.sources.source import Source


class StdinSource(Source):
    """A pipe, as between a model and modeltail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reading, self.writing = os.pipe()

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A stdin input on the pipe's other end."""
        return StdinInput(StdinConfig(**({"id": "it", "linger": 0.0} | settings)), self.reading)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Write into the pipe; small enough to fit."""
        os.write(self.writing, data)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reading)
        os.close(self.writing)
