"""What the outputs hold in the end: the numbers of the records, as the model wrote them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.servers.elasticsearch import ElasticsearchServer

PAGE = 10_000


def stream_of(dataset: str) -> str:
    """The data stream of a dataset."""
    return f"logs-{dataset}-default"


def in_elasticsearch(server: ElasticsearchServer, dataset: str) -> Iterator[int]:
    """The number of every document in the data stream."""
    stream = stream_of(dataset)
    server.request("POST", f"/{stream}/_refresh")
    query: dict[str, Any] = {"size": PAGE, "sort": [{"event.id": "asc"}], "fields": ["fields.n"], "_source": False}
    while hits := server.request("POST", f"/{stream}/_search", query)["hits"]["hits"]:
        for hit in hits:
            (number,) = hit["fields"]["fields.n"]
            yield int(number)
        query["search_after"] = hits[-1]["sort"]


def in_the_store(folder: Path, limit: int) -> Iterator[int]:
    """The number of every record in the embedded store, up to ``limit`` of them."""
    options = ["--json", "--limit", str(limit), "--store", str(folder)]
    with subprocess.Popen([sys.executable, "-m", "agent", "search", "", *options], stdout=subprocess.PIPE) as search:
        assert search.stdout is not None
        for line in search.stdout:
            yield msgspec.json.decode(line)["fields"]["n"]
    assert search.returncode == 0
