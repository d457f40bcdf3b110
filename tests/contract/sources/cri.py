"""A container's log as the kubelet keeps it, as a source."""

from agent.inputs.contract import Input
from tests.contract.sources.file import FileSource

_HEAD = b"2026-11-22T10:00:00.123456789Z stdout F "


class CriSource(FileSource):
    """A log file in which the container runtime puts time, stream and a tag before every line."""

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A file input that takes the log for a container's."""
        return super().input(positions, **({"format": "cri"} | settings))

    def write(self, data: bytes) -> None:
        """Append whole lines to the log."""
        super().write(b"".join(_HEAD + line + b"\n" for line in data.split(b"\n")[:-1]))

    def size(self, data: bytes) -> int:
        """Its own words before the lines are bytes of the file."""
        return len(data) + len(_HEAD) * data.count(b"\n")
