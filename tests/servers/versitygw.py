"""versitygw: S3 over a folder, the strictest of the stand-ins. Built from its Go module.

It keeps what it knows of an object in extended attributes, so its folder has to lie on a file system that has them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import ServerUnavailable
from tests.servers.golang import go_program
from tests.servers.process import ServerProcess, free_port, listens

REGION = "us-east-1"
KEYS = {"access_key_id": "ak", "secret_access_key": "sksksksk"}
"""Those of its owner; no others are good."""


class Versitygw(ServerProcess):
    """One gateway. What was put is kept over ``kill`` and ``start``; a folder in ``buckets`` is a bucket."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.buckets = folder / "buckets"
        self.buckets.mkdir()
        _need_attributes(self.buckets)
        program = go_program("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
        super().__init__(
            [str(program), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(self.buckets)],
            lambda: listens(port),
            folder / "versitygw.log",
            environment={"ROOT_ACCESS_KEY": KEYS["access_key_id"], "ROOT_SECRET_KEY": KEYS["secret_access_key"]},
        )


@contextmanager
def versitygw(folder: Path) -> Iterator[Versitygw]:
    """A gateway while the block lasts; its buckets and its log go into this folder."""
    server = Versitygw(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _need_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.modeltail", b"yes")
    except OSError as error:
        raise ServerUnavailable(f"versitygw needs extended attributes in {folder}: {error.strerror}") from error
