"""A client that posts, as a source."""

import http.client
import queue
import socket
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from agent.inputs.contract import Input
from agent.inputs.http.config import HttpConfig
from agent.inputs.http.input import HttpInput
from tests.contract.sources.source import Source

ANSWER_SECS = 30.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float = ANSWER_SECS) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class HttpSource(Source):
    """A program that posts lines one request after another, each on a connection of its own; it comes again as long as
    nobody listens."""

    keeps = False
    content_type = "text/plain"
    target = "/"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "http.sock"
        self._bodies: queue.Queue[bytes | None] = queue.Queue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._post_all, name="posting")
        self._thread.start()

    def input(self, positions: dict[str, bytes], **settings: Any) -> Input:
        """An http input on a unix socket."""
        settings.pop("linger", None)  # nothing lingers here
        return HttpInput(HttpConfig(**({"id": "it", "listen": f"unix:{self.path}"} | settings)))

    def body(self, data: bytes) -> bytes:
        """What is posted for these bytes."""
        return data

    def write(self, data: bytes) -> None:
        """Post soon."""
        self._bodies.put(data)

    def close(self) -> None:
        """Stop posting."""
        self._closing.set()
        self._bodies.put(None)
        self._thread.join()

    def _post_all(self) -> None:
        while (data := self._bodies.get()) is not None:
            body = self.body(data)
            while not self._closing.is_set() and not self._asked(body):
                self._closing.wait(0.002)

    def _asked(self, body: bytes) -> bool:
        """Whether somebody was there to be asked."""
        connection = UnixConnection(self.path)
        with closing(connection):
            try:
                connection.connect()
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            with suppress(OSError, http.client.HTTPException):
                connection.request("POST", self.target, body, {"Content-Type": self.content_type})
                connection.getresponse().read()
        return True
