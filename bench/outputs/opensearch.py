"""OpenSearch: the counting sink, with OpenSearch's answers where they are others than Elasticsearch's: what it is, that
it knows neither ``require_data_stream`` nor what is in Elastic's own plugins. They are those of OpenSearch 3.4.

``python -m bench.outputs.opensearch`` prints its port and serves until its standard input ends.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from bench.elastic import Cluster
from bench.outputs.counting import served
from bench.outputs.peer import Other, Peer
from bench.sink import Handler, Sink, serve
from bench.steer import SinkControl

_VERSION: Final = "3.4.0"
_INFO: Final = {
    "name": "sink",
    "cluster_name": "bench",
    "cluster_uuid": "AAAAAAAAAAAAAAAAAAAAAA",
    "version": {"distribution": "opensearch", "number": _VERSION, "build_type": "zip", "lucene_version": "10.3.2"},
    "tagline": "The OpenSearch Project: https://opensearch.org/",
}
_NOT_THERE: Final = ("/_security/", "/_ilm/")


class OpensearchCluster(Cluster):
    """The settings it would hold."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """See `Cluster.answer`."""
        if path == "/":
            return 200, _INFO
        if path.startswith(_NOT_THERE):
            return 400, {"error": f"no handler found for uri [{path}] and method [{method}]"}
        return super().answer(method, path, body)


class OpensearchHandler(Handler):
    """One connection."""

    product = ("X-OpenSearch-Version", f"OpenSearch/{_VERSION} (opensearch)")

    def _bulk(self, query: str, body: bytes) -> None:
        if "require_data_stream" in parse_qs(query):
            reason = "the request contains unrecognized parameter: [require_data_stream]"
            error = {"type": "illegal_argument_exception", "reason": reason}
            self._reply(400, json.dumps({"error": error, "status": 400}).encode())
            return
        super()._bulk(query, body)


@contextmanager
def _start(folder: Path) -> Iterator[Other]:
    with served("bench.outputs.opensearch", folder) as port, closing(SinkControl(port)) as control:
        config = {"type": "opensearch", "hosts": [f"http://127.0.0.1:{port}"]}
        yield Other(config, lambda: control.counts()["records"])


PEERS = (Peer("opensearch", _start),)


if __name__ == "__main__":
    serve(Sink(OpensearchHandler, OpensearchCluster()))
