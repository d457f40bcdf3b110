"""kinesis-local: Kinesis Data Streams on loopback, another maker's than moto's. It keeps everything in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.npm import node, npm_package
from tests.servers.process import ServerProcess, free_port, listens

VERSION = "0.6.2"

_LOOPBACK = """\
const { Server } = require("net");
const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...others) {
  const port = typeof first === "object" ? first.port : first;
  const callback = others.find((other) => typeof other === "function");
  return listen.call(this, { port, host: "127.0.0.1" }, callback);
};
"""
"""It would listen on every address of the machine."""


class KinesisLocal(ServerProcess):
    """One server; ``kill`` and ``start`` make it forget everything."""

    def __init__(self, folder: Path) -> None:
        package = npm_package("kinesis-local", VERSION)
        loopback = folder / "loopback.js"
        loopback.write_text(_LOOPBACK)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(
            [node(), "-r", str(loopback), str(package / "main.js")],
            lambda: listens(port),
            folder / "kinesis-local.log",
            environment={
                "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
                "KINESIS_MOCK_PLAIN_PORT": str(port),
                "KINESIS_MOCK_TLS_PORT": str(free_port()),
                "CREATE_STREAM_DURATION": "10ms",
                "SPLIT_SHARD_DURATION": "10ms",
                "LOG_LEVEL": "ERROR",
            },
            folder=folder,
        )


@contextmanager
def kinesis_local(folder: Path) -> Iterator[KinesisLocal]:
    """A server while the block lasts; its log goes into this folder."""
    server = KinesisLocal(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
