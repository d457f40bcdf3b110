"""What the suite needs of something that writes."""

from pathlib import Path

from agent.inputs.contract import Input
from agent.record import Batch


class Source:
    """Something that writes, and the input that reads it."""

    resumes = False
    """Whether a new input goes on where the last one's batches ended."""
    keeps = True
    """Whether what is written while nobody reads waits for the reader."""

    of_lines = True
    """Whether what is written are lines, bytes as they are, that ``include_lines`` and ``max_line`` go for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A new input on this source."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Have the source produce these bytes."""
        raise NotImplementedError

    def lines(self, batch: Batch) -> list[bytes]:
        """The lines that were written, out of a batch."""
        return batch.lines

    def size(self, data: bytes) -> int:
        """How many of the bytes that were written the input counts."""
        return len(data)

    def close(self) -> None:
        """Let go of what the source holds."""
