"""Socket files, as sources."""

import socket
from pathlib import Path

from agent.inputs.contract import Input
from agent.inputs.unix.config import UnixConfig
from agent.inputs.unix.input import UnixInput
from tests.contract.sources.passed import PassedSocket


class UnixSource(PassedSocket):
    """A program that connects to a socket file once and writes lines."""

    kind = "stream"
    type = socket.SOCK_STREAM

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._connection = socket.socket(socket.AF_UNIX, self.type)
        self._connection.connect(self.socket.getsockname())

    def bound(self) -> socket.socket:
        """The socket file."""
        made = socket.socket(socket.AF_UNIX, self.type)
        made.bind(str(self.folder / "log.sock"))
        if self.type == socket.SOCK_STREAM:
            made.listen()
        return made

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A unix input on the socket."""
        known = {"id": "it", "listen": "systemd:passed", "kind": self.kind, "format": "lines", "linger": 0.0}
        return UnixInput(UnixConfig(**(known | settings)))  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Write into the connection; small enough to fit what the kernel holds."""
        self._connection.sendall(data)

    def close(self) -> None:
        """Close the connection as well."""
        self._connection.close()
        super().close()


class UnixDatagramSource(UnixSource):
    """A program that sends datagrams of whole lines to a socket file, as to ``/dev/log``."""

    kind = "datagram"
    type = socket.SOCK_DGRAM
