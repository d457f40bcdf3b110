"""A connection, as a source."""

import socket
from pathlib import Path

from agent.inputs.contract import Input
from agent.inputs.tcp.config import TcpConfig
from agent.inputs.tcp.input import TcpInput
from tests.contract.sources.passed import PassedSocket


class TcpSource(PassedSocket):
    """A program that connects once and writes lines."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._connection = socket.create_connection(self.socket.getsockname())

    def bound(self) -> socket.socket:
        """A listening socket on a free port."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.bind(("127.0.0.1", 0))
        made.listen()
        return made

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A tcp input on the socket."""
        known = {"id": "it", "listen": "systemd:passed", "format": "lines", "linger": 0.0}
        return TcpInput(TcpConfig(**(known | settings)))  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Write into the connection; small enough to fit what the kernel holds."""
        self._connection.sendall(data)

    def close(self) -> None:
        """Close the connection as well."""
        self._connection.close()
        super().close()
