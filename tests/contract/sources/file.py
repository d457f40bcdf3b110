"""A log file, as a source."""

from agent.inputs.contract import Input
from agent.inputs.file.config import FileConfig
from agent.inputs.file.input import FileInput
from tests.contract.sources.source import Source


class FileSource(Source):
    """A log file."""

    resumes = True

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A file input on the log."""
        known = {"id": "it", "paths": [f"{self.folder}/model.log"], "linger": 0.0, "scan_interval": 0.05}
        return FileInput(FileConfig(**(known | settings)), positions)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Append to the log."""
        with (self.folder / "model.log").open("ab") as log:
            log.write(data)
