"""Elasticsearch: the counting sink of the other benchmarks. What the others are compared with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.outputs.peer import Other, Peer
from bench.steer import sink


@contextmanager
def _start(folder: Path) -> Iterator[Other]:
    with sink(folder / "sink.log") as control:
        config = {"type": "elasticsearch", "hosts": [f"http://127.0.0.1:{control.port}"]}
        yield Other(config, lambda: control.counts()["records"])


PEERS = (Peer("elasticsearch", _start),)
