"""moto's server: Kinesis, Firehose and S3 on loopback. It keeps everything in memory and takes any credentials."""

import atexit
import functools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import ServerProcess, free_port, listens

_SERVER = Path(__file__).with_name("moto_in_turn.py")
REGION = "eu-central-1"
KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret-of-the-example"}
"""What an output to AWS needs beside ``endpoint`` and ``region``: any keys will do."""


class MotoServer(ServerProcess):
    """One server; ``kill`` and ``start`` make it forget everything.

    With ``open_for`` it takes any credentials for so many requests only; then it wants signatures that are good and
    users who may do what they ask for.
    """

    def __init__(self, folder: Path, open_for: int | None = None) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Without this folder in its path, where we are `moto`.
        command = [sys.executable, "-P", str(_SERVER), "-H", "127.0.0.1", "-p", str(port)]
        environment = {} if open_for is None else {"INITIAL_NO_AUTH_ACTION_COUNT": str(open_for)}
        super().__init__(command, lambda: listens(port), folder / "moto.log", environment=environment)


@contextmanager
def moto_server(folder: Path) -> Iterator[MotoServer]:
    """A server while the block lasts; its log goes into this folder."""
    server = MotoServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@functools.cache
def shared_moto() -> MotoServer:
    """One server for all tests of this process; name streams and buckets so that nobody else has them."""
    folder = tempfile.TemporaryDirectory(prefix="modeltail-moto-")
    atexit.register(folder.cleanup)
    server = MotoServer(Path(folder.name))
    server.start()
    return server
