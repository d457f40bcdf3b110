"""Two readers of lumberjack that are not ours: go-lumber's server and Apache Camel's.

go-lumber (Elastic's own, for tests) is strict about windows and says that it is alive; Camel acknowledges nothing but
whole windows. Both print each event, as JSON on a line, before they acknowledge it.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.servers import ServerUnavailable
from tests.servers.distribution import cache_folder
from tests.servers.java import find_java
from tests.servers.libraries import libraries
from tests.servers.process import ServerProcess, free_port, listens

CAMEL = "4.14.1"
_HERE = Path(__file__).parent
_BUILD_SECS = 600


class Event(NamedTuple):
    """An event as it was received: its text, and the id of its record."""

    text: bytes
    record: str


class _Name(msgspec.Struct):
    id: str


class _Document(msgspec.Struct):
    event: _Name


class LumberjackServer:
    """A server with what it has received, over all its starts."""

    def __init__(self, process: ServerProcess, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def host(self) -> str:
        """As the output's configuration names it."""
        return f"127.0.0.1:{self.port}"

    def events(self) -> list[Event]:
        """What it received, in order. It prints only what it could read: a line that is no JSON was cut short by a
        kill, and not acknowledged."""
        decode = msgspec.json.Decoder(_Document).decode
        found = []
        for line in self._log.read_bytes().split(b"\n"):
            if line.startswith(b'{"@metadata"'):
                with suppress(msgspec.DecodeError):
                    found.append(Event(line, decode(line).event.id))
        return found


@contextmanager
def go_lumber(folder: Path, *arguments: str) -> Iterator[LumberjackServer]:
    """go-lumber's server; the ``arguments`` are those of ``golumber/main.go``."""
    port = free_port()
    yield from _serve([str(_go_lumber()), "-bind", f"127.0.0.1:{port}", *arguments], port, folder / "golumber.log")


@contextmanager
def camel(folder: Path) -> Iterator[LumberjackServer]:
    """Camel's component ``lumberjack``."""
    port = free_port()
    jars = libraries(
        "camel-lumberjack",
        f"org.apache.camel:camel-lumberjack:{CAMEL}",
        f"org.apache.camel:camel-core:{CAMEL}",
        "org.slf4j:slf4j-simple:2.0.17",
    )
    java = find_java(17, 30) / "bin" / "java"
    options = [
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    program = str(_HERE / "camel" / "Lumberjack.java")
    command = [str(java), *options, "-cp", f"{jars}/*", program, f"127.0.0.1:{port}"]
    yield from _serve(command, port, folder / "camel.log")


def _serve(command: list[str], port: int, log: Path) -> Iterator[LumberjackServer]:
    process = ServerProcess(command, partial(listens, port), log)
    process.start()
    try:
        yield LumberjackServer(process, port, log)
    finally:
        process.kill()


def _go_lumber() -> Path:
    """The program, built once for each version of its source."""
    sources = [_HERE / "golumber" / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    final = cache_folder() / f"golumber-{digest}"
    if final.exists():
        return final
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not Path(go).exists():
        raise ServerUnavailable("needs Go to build go-lumber's server")
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as temporary:
        for source in sources:
            shutil.copy(source, temporary)
        done = subprocess.run(
            [go, "build", "-o", "golumber", "."],
            cwd=temporary,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=_BUILD_SECS,
            stdin=subprocess.DEVNULL,
        )
        built = Path(temporary) / "golumber"
        if done.returncode or not built.exists():
            raise ServerUnavailable(f"Go could not build go-lumber's server: {done.stderr[-1000:].strip()}")
        built.rename(final)
    return final
