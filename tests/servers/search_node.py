"""One node of Elasticsearch or OpenSearch, which start and are talked to alike: on loopback, with its data in a folder
of its own, started, stopped, killed and started again at the same port.
"""

import atexit
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

START_TIMEOUT_SECS = 90.0
STOP_TIMEOUT_SECS = 30.0
_NOBODY = 65534
_QUICK_JVM = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
_LARGE_JVM = ("UseG1GC", "-Xlog:gc", "jdk.incubator.vector")
"""Options of the distributions that do not go with a small heap, or write into the distribution."""


class SearchNode:
    """One node. ``url`` is valid once it has been started; it stays the same over ``stop``/``kill`` and ``start``.

    ``home`` is the unpacked distribution, which is not written to, ``java`` the Java it runs on. ``settings`` are
    ``-E`` settings beyond those every node gets, ``credentials`` the name and password ``request`` speaks as.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    variables: ClassVar[str]
    """What the names of its environment variables begin with."""

    def __init__(
        self,
        version: str,
        folder: Path,
        home: Path,
        java: Path,
        settings: Mapping[str, str],
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.version = version
        self.folder = folder
        self.port = 0
        self._home = home
        self._java = java
        self._settings = _defaults(folder) | dict(settings)
        self._credentials = credentials
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("data", "logs", "tmp"):
            (folder / name).mkdir()
        self._copy_config()
        self._write_config(folder / "config")
        if os.getuid() == 0:  # it refuses to run as root
            for path in (folder, *folder.rglob("*")):
                os.chown(path, _NOBODY, _NOBODY)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and return when it takes requests. A server that does not come up is an error with its log's tail."""
        ports = self.folder / "logs" / "http.ports"
        ports.unlink(missing_ok=True)
        settings = {"http.port": str(self.port), **self._settings}
        command = [str(self._home / "bin" / self.program)]
        for key, value in settings.items():
            command += ["-E", f"{key}={value}"]
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            f"{self.variables}_PATH_CONF": str(self.folder / "config"),
            f"{self.variables}_TMPDIR": str(self.folder / "tmp"),
            f"{self.variables}_JAVA_HOME": str(self._java),
            f"{self.variables}_JAVA_OPTS": _QUICK_JVM,
            "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
        }
        other_user: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()} if os.getuid() == 0 else {}
        with (self.folder / "logs" / "console.log").open("ab") as console:
            self._process = subprocess.Popen(  # the server, with arguments of ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
                **other_user,
            )
        atexit.register(self.kill)
        deadline = time.monotonic() + START_TIMEOUT_SECS
        while not (ports.exists() and self._answers(ports)):
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} {self.version} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(
                    f"{self.name} {self.version} was not ready within {START_TIMEOUT_SECS:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end and wait until it has."""
        if self._process is not None:
            self._process.terminate()  # its launcher passes this on and waits for the node
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_SECS)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        atexit.unregister(self.kill)
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while self._listens():  # the node is a grandchild: its going is seen by its port only
            time.sleep(0.01)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Ask the server something. The decoded JSON, or an ``HTTPError`` for what is not a success."""
        return json.loads(self.request_bytes(method, path, body) or b"null")

    def request_bytes(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> bytes:
        """The same, with the answer as it came. A body of ``bytes`` is sent as it is."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"content-type": content_type}
        if self._credentials is not None:
            headers["authorization"] = "Basic " + base64.b64encode(":".join(self._credentials).encode()).decode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # loopback
        with urllib.request.urlopen(request, timeout=30) as answer:
            answered: bytes = answer.read()
        return answered

    def log_tail(self) -> str:
        """The end of what it wrote to its console."""
        return (self.folder / "logs" / "console.log").read_text(errors="replace")[-4000:]

    def _answers(self, ports: Path) -> bool:
        addresses = [line for line in ports.read_text().splitlines() if line.startswith("127.0.0.1:")]
        if not addresses:
            return False
        self.port = int(addresses[0].rpartition(":")[2])
        try:
            self.request("GET", "/_cluster/health?timeout=1s")
        except OSError:  # URLError among them
            return False
        return True

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return self.port != 0 and probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _copy_config(self) -> None:
        """A configuration folder of its own: the server writes its keystore there, and the heap settings differ."""
        config = self.folder / "config"
        shutil.copytree(self._home / "config", config)
        options = (config / "jvm.options").read_text().splitlines()
        kept = [line for line in options if not any(large in line for large in _LARGE_JVM)]
        (config / "jvm.options").write_text("\n".join(kept) + "\n")

    def _write_config(self, config: Path) -> None:
        """Put into the configuration folder what this kind of node needs."""


def _defaults(folder: Path) -> dict[str, str]:
    return {
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "transport.port": "0",
        "node.portsfile": "true",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
    }


@contextmanager
def node_folder(name: str) -> Iterator[Path]:
    """A temporary folder that another user can enter."""
    with tempfile.TemporaryDirectory(prefix=f"modeltail-{name}-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        yield folder
