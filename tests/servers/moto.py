"""moto's server: Kinesis, Firehose and S3 on loopback. It keeps everything in memory and takes any credentials."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import ServerProcess, free_port, listens

REGION = "eu-central-1"
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret-of-the-example"}
"""What an output to AWS needs beside ``endpoint`` and ``region``: any keys will do."""


class MotoServer(ServerProcess):
    """One server; ``kill`` and ``start`` make it forget everything."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, lambda: listens(port), folder / "moto.log")


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """A server while the block lasts; its log goes into this folder."""
    server = MotoServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
