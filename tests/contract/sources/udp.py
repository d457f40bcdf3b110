"""Datagrams of lines, as a source."""

import socket

from agent.inputs.contract import Input
from agent.inputs.udp.config import UdpConfig
from agent.inputs.udp.input import UdpInput
from tests.contract.sources.passed import PassedSocket

_LARGEST = 60_000


class UdpSource(PassedSocket):
    """A program that sends what it writes as datagrams of whole lines."""

    def bound(self) -> socket.socket:
        """A socket on a free port."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        return made

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """A udp input on the socket."""
        known = {"id": "it", "listen": "systemd:passed", "format": "lines", "linger": 0.0}
        return UdpInput(UdpConfig(**(known | settings)))  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        """Send it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(self.socket.getsockname())
            while data:
                end = data.rindex(b"\n", 0, _LARGEST) + 1
                sender.send(data[:end])
                data = data[end:]
