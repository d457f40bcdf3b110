"""The real Elasticsearch: the official minimal distribution, one node, on loopback, with data in a temporary folder.

    with elasticsearch_server("9.2.0") as es:
        requests to es.url
        es.kill(); es.start()      # an outage: same data, same port

It is a distribution without the data-stream REST API, ingest processors, Painless and ILM; bulk indexing, data streams
through index templates, mappings, ``_rollover`` and security are those of every Elasticsearch.
"""

import atexit
import base64
import hashlib
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
from typing import Any

from tests.servers.distribution import distribution
from tests.servers.java import find_java

VERSIONS = {"9.2.0": (21, 25), "8.19.0": (17, 24)}
"""The versions the tests run against, with the oldest and newest Java each takes."""

START_TIMEOUT_SECS = 90.0
STOP_TIMEOUT_SECS = 30.0
_NOBODY = 65534
_QUICK_JVM = "-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"


class ElasticsearchServer:
    """One node. ``url`` is valid once it has been started; it stays the same over ``stop``/``kill`` and ``start``."""

    def __init__(
        self, version: str, folder: Path, settings: Mapping[str, str], users: Mapping[str, tuple[str, str]], roles: str
    ) -> None:
        self.version = version
        self.folder = folder
        self.port = 0
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._home = distribution(f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip")
        self._java = find_java(*VERSIONS[version])
        self._auth = next(iter(users.items()), None)
        for name in ("data", "logs", "tmp"):
            (folder / name).mkdir()
        self._write_config(users, roles)
        if os.getuid() == 0:  # Elasticsearch refuses to run as root
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
        command = [str(self._home / "bin" / "elasticsearch")]
        for key, value in settings.items():
            command += ["-E", f"{key}={value}"]
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "ES_JAVA_HOME": str(self._java),
            "ES_JAVA_OPTS": _QUICK_JVM,
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
                raise RuntimeError(f"Elasticsearch {self.version} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(
                    f"Elasticsearch {self.version} was not ready within {START_TIMEOUT_SECS:.0f} s:\n{self.log_tail()}"
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
        if self._auth is not None:
            name, (password, _) = self._auth
            headers["authorization"] = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
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

    def _write_config(self, users: Mapping[str, tuple[str, str]], roles: str) -> None:
        """A configuration folder of its own: Elasticsearch writes its keystore there, and the heap settings differ."""
        config = self.folder / "config"
        shutil.copytree(self._home / "config", config)
        options = (config / "jvm.options").read_text().splitlines()
        kept = [
            line
            for line in options
            if "UseG1GC" not in line and "-Xlog:gc" not in line and "jdk.incubator.vector" not in line
        ]
        (config / "jvm.options").write_text("\n".join(kept) + "\n")
        self._settings.setdefault("xpack.security.enabled", "true" if users else "false")
        if users:
            # The file realm takes salted SHA-256 as well as bcrypt; the tool that would write it costs a JVM start per
            # user.
            salt = b"modeltail"
            lines, members = [], []
            for name, (password, role) in users.items():
                digest = hashlib.sha256(password.encode() + salt).digest()
                lines.append(f"{name}:{{SSHA256}}{base64.b64encode(salt).decode()}{base64.b64encode(digest).decode()}")
                members.append(f"{role}:{name}")
            (config / "users").write_text("\n".join(lines) + "\n")
            (config / "users_roles").write_text("\n".join(members) + "\n")
            (config / "roles.yml").write_text(roles)


def _defaults(folder: Path) -> dict[str, str]:
    return {
        "discovery.type": "single-node",
        "network.host": "127.0.0.1",
        "transport.port": "0",
        "node.portsfile": "true",
        "xpack.security.transport.ssl.enabled": "false",
        "xpack.security.autoconfiguration.enabled": "false",
        "cluster.routing.allocation.disk.threshold_enabled": "false",
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
    }


@contextmanager
def elasticsearch_server(
    version: str = "9.2.0",
    *,
    settings: Mapping[str, str] | None = None,
    users: Mapping[str, tuple[str, str]] | None = None,
    roles: str = "",
) -> Iterator[ElasticsearchServer]:
    """A running server that is ended, with its data, when the block is left.

    ``settings`` are further ``-E`` settings. ``users`` maps names to password and role and switches security on; the
    first of them is who ``request`` speaks as. ``roles`` is the text of ``roles.yml``. Raises ``ServerUnavailable``
    where Maven, Java or the network is missing.
    """
    with tempfile.TemporaryDirectory(prefix="modeltail-elasticsearch-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        server = ElasticsearchServer(version, folder, _defaults(folder) | dict(settings or {}), users or {}, roles)
        server.start()
        try:
            yield server
        finally:
            server.kill()
