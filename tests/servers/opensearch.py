"""The real OpenSearch: the minimal distribution on Maven Central, one node, on loopback, data in a temporary folder.

It has no plugins: no security, no Index State Management. What it has is what every OpenSearch has.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.servers.distribution import distribution
from tests.servers.java import find_java
from tests.servers.search_node import SearchNode, node_folder

VERSION = "3.4.0"
OLDEST_JAVA, NEWEST_JAVA = 21, 25


class OpensearchServer(SearchNode):
    """One node."""

    name = "OpenSearch"
    program = "opensearch"
    variables = "OPENSEARCH"


@contextmanager
def opensearch_server(*, settings: Mapping[str, str] | None = None) -> Iterator[OpensearchServer]:
    """A running server that is ended, with its data, when the block is left. ``settings`` are further ``-E`` settings.

    Raises ``ServerUnavailable`` where Maven, Java or the network is missing.
    """
    home = distribution(f"org.opensearch.distribution.integ-test-zip:opensearch:{VERSION}:zip")
    with node_folder("opensearch") as folder:
        server = OpensearchServer(VERSION, folder, home, find_java(OLDEST_JAVA, NEWEST_JAVA), settings or {})
        server.start()
        try:
            yield server
        finally:
            server.kill()
