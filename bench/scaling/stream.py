"""A Kinesis stream of one shard that takes whatever is put into it and keeps it in memory, in the order it came in.

moto's will not do: two requests at the same moment may get one sequence number there, and then the records of one are
gone.

``python -m bench.scaling.stream`` prints its port and serves until its standard input ends; ``GET /_bench/records``
gives what it has.
"""

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.outputs.counting import served
from bench.sink import Handler, serve
from tests.servers.event_source import Record

NAME: Final = "records"
SHARD: Final = "shardId-000000000000"
_FIRST: Final = 49_600_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000_000
"""Sequence numbers of AWS have 56 digits."""


class Stream(ThreadingHTTPServer):
    """On a free port of the loopback interface. A record is kept as it was put: ``Data`` in Base64."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.records: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def put(self, records: Sequence[dict[str, str]]) -> list[str]:
        """Keep them; their sequence numbers."""
        with self._lock:
            first = _FIRST + len(self.records)
            numbers = [str(first + i) for i in range(len(records))]
            self.records += (
                {**record, "SequenceNumber": number} for record, number in zip(records, numbers, strict=True)
            )
        return numbers


class Answers(Handler):
    """One connection."""

    server: Stream  # type: ignore[assignment]  # another than the one its bodies are read for

    def _serve(self) -> None:
        body = self._body()
        answer: Any = {}
        if self.path == "/_bench/records":
            answer = self.server.records
        elif self.headers["X-Amz-Target"].endswith(".PutRecords"):
            numbers = self.server.put(json.loads(body)["Records"])
            taken = [{"SequenceNumber": number, "ShardId": SHARD} for number in numbers]
            answer = {"FailedRecordCount": 0, "Records": taken}
        self._reply(200, json.dumps(answer).encode())

    do_GET = do_POST = _serve


@contextmanager
def stream(folder: Path) -> Iterator[str]:
    """A stream in a process of its own; its address."""
    with served("bench.scaling.stream", folder) as port:
        yield f"http://127.0.0.1:{port}"


def in_stream(address: str) -> list[Record]:
    """What is in it, as ``GetRecords`` gives it."""
    with urllib.request.urlopen(f"{address}/_bench/records", timeout=60) as answer:  # noqa: S310 - our own
        return [{**record, "Data": base64.b64decode(record["Data"])} for record in json.load(answer)]


if __name__ == "__main__":
    serve(Stream())
