"""The real Elasticsearch: the official minimal distribution, one node, on loopback, with data in a temporary folder.

    with elasticsearch_server("9.2.0") as es:
        requests to es.url
        es.kill(); es.start()      # an outage: same data, same port

It is a distribution without the data-stream REST API, ingest processors, Painless and ILM; bulk indexing, data streams
through index templates, mappings, ``_rollover`` and security are those of every Elasticsearch.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.distribution import distribution
from tests.servers.java import find_java
from tests.servers.search_node import SearchNode, node_folder

VERSIONS = {"9.2.0": (21, 25), "8.19.0": (17, 24)}
"""The versions the tests run against, with the oldest and newest Java each takes."""


class ElasticsearchServer(SearchNode):
    """One node, with the users it knows."""

    name = "Elasticsearch"
    program = "elasticsearch"
    variables = "ES"

    def __init__(
        self, version: str, folder: Path, settings: Mapping[str, str], users: Mapping[str, tuple[str, str]], roles: str
    ) -> None:
        self._users = users
        self._roles = roles
        super().__init__(
            version,
            folder,
            distribution(f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{version}:zip"),
            find_java(*VERSIONS[version]),
            {
                "xpack.security.enabled": "true" if users else "false",
                "xpack.security.transport.ssl.enabled": "false",
                "xpack.security.autoconfiguration.enabled": "false",
                **settings,
            },
            next(((name, password) for name, (password, _) in users.items()), None),
        )

    def _write_config(self, config: Path) -> None:
        if self._users:
            # The file realm takes salted SHA-256 as well as bcrypt; the tool that would write it costs a JVM start per
            # user.
            salt = b"modeltail"
            lines, members = [], []
            for name, (password, role) in self._users.items():
                digest = hashlib.sha256(password.encode() + salt).digest()
                lines.append(f"{name}:{{SSHA256}}{base64.b64encode(salt).decode()}{base64.b64encode(digest).decode()}")
                members.append(f"{role}:{name}")
            (config / "users").write_text("\n".join(lines) + "\n")
            (config / "users_roles").write_text("\n".join(members) + "\n")
            (config / "roles.yml").write_text(self._roles)


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
    with node_folder("elasticsearch") as folder:
        server = ElasticsearchServer(version, folder, settings or {}, users or {}, roles)
        server.start()
        try:
            yield server
        finally:
            server.kill()
