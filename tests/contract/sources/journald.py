"""A journal, as a source."""

from pathlib import Path

from agent.inputs.contract import Input
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.journald.input import JournaldInput
from tests.contract.sources.source import Source
from tests.servers.journal import Journal


def messages(data: bytes) -> list[bytes]:
    """What a writer of lines hands to journald: an entry for each, without its end."""
    return [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]


class JournaldSource(Source):
    """A folder of journal files that systemd's own program writes, read by the real journalctl."""

    resumes = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._journal = Journal(folder / "journal")

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A journald input on the folder."""
        known = {"id": "it", "path": str(self._journal.folder), "start": "head", "linger": 0.0}
        return JournaldInput(JournaldConfig(**(known | settings)), positions)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Add an entry for each line."""
        self._journal.write(*({"MESSAGE": message} for message in messages(data)))

    def size(self, data: bytes) -> int:
        """The messages: an entry has no line end."""
        return sum(map(len, messages(data)))
