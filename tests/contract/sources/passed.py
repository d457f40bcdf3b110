"""A socket that is there before anybody reads it, passed as systemd passes one."""

import os
from pathlib import Path
from socket import socket

from tests.contract.sources.source import Source

_FIRST = 3


class PassedSocket(Source):
    """Binds a socket of its own and passes it to the input, which then finds what was sent before it ran."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.socket = self.bound()
        fd = self.socket.fileno()
        # Only the names count: descriptors before ours stay whose they are.
        passed = {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(fd - _FIRST + 1),
            "LISTEN_FDNAMES": ":".join([*[""] * (fd - _FIRST), "passed"]),
        }
        self._before = {name: os.environ.get(name) for name in passed}
        os.environ.update(passed)

    def bound(self) -> socket:
        """The socket, bound and listening."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket, and pass nothing any more."""
        self.socket.close()
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
