"""A sink for outputs that speak HTTP: it takes whatever is posted or put, answers as the protocol expects, and keeps
nothing but the number of records.

It knows Kinesis and Firehose (by ``X-Amz-Target``), OTLP, Loki's push and, by the method PUT, S3 with one object a
request; any other POST is a webhook's. Every record is one of ``bench.records``: where a protocol does not say how many
there are, their request ids do.

``python -m bench.outputs.counting`` prints its port and serves until its standard input ends; ``GET /_bench/count``
asks.
"""

import base64
import gzip
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from bench.outputs.peer import Other
from bench.sink import REQUEST_ID, Handler, serve

_GZIP: Final = b"\x1f\x8b"
_EMPTY_LIST: Final = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'
_JSON: Final = "application/json"


def records_in(payload: bytes) -> int:
    """How many records there are in documents as they lie, or compressed."""
    return len(REQUEST_ID.findall(gzip.decompress(payload) if payload.startswith(_GZIP) else payload))


def records_of_otlp(body: bytes, content_type: str) -> int:
    """How many log records a request of OTLP/HTTP holds."""
    if content_type.startswith(_JSON):
        scopes: Iterable[Any] = (s for r in json.loads(body)["resourceLogs"] for s in r["scopeLogs"])
        return sum(len(scope["logRecords"]) for scope in scopes)
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest.FromString(body)
    return sum(len(scope.log_records) for resource in request.resource_logs for scope in resource.scope_logs)


def records_of_loki(body: bytes) -> int:
    """How many lines a push holds, as JSON."""
    return sum(len(stream["values"]) for stream in json.loads(body)["streams"])


def answer_of_aws(target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """How many records a request in AWS's JSON holds, and the answer."""
    request = json.loads(body)
    put = request.get("Records", [])
    records = sum(records_in(base64.b64decode(record["Data"])) for record in put)
    match target.partition(".")[2]:
        case "PutRecords":
            taken = [{"SequenceNumber": str(i), "ShardId": "shardId-000000000000"} for i in range(len(put))]
            return records, {"FailedRecordCount": 0, "Records": taken}
        case "PutRecordBatch":
            return records, {"FailedPutCount": 0, "RequestResponses": [{"RecordId": str(i)} for i in range(len(put))]}
    return 0, {}


def without_chunks(body: bytes) -> bytes:
    """The object in a body of the encoding ``aws-chunked``."""
    parts = []
    while (size := int(body[: body.index(b"\r\n")].partition(b";")[0], 16)) > 0:
        start = body.index(b"\r\n") + 2
        parts.append(body[start : start + size])
        body = body[start + size + 2 :]
    return b"".join(parts)


class Server(ThreadingHTTPServer):
    """On a free port of the loopback interface; ``records`` is what came so far."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counting)
        self.records = 0
        self._lock = threading.Lock()

    def count(self, records: int) -> None:
        """So many more."""
        with self._lock:
            self.records += records


class Counting(Handler):
    """One connection."""

    server: Server  # type: ignore[assignment]  # another than the one its bodies are read for

    def _serve(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        match self.command:
            case "GET" if path == "/_bench/count":
                self._answer(200, str(self.server.records).encode())
            case "GET":
                self._answer(200, _EMPTY_LIST if "list-type" in self.path else b"{}")
            case "HEAD":
                self._answer(200 if path.count("/") == 1 else 404)
            case "PUT":
                chunked = "aws-chunked" in self.headers.get("Content-Encoding", "")
                self.server.count(records_in(without_chunks(body) if chunked else body))
                self._answer(200, ETag='"0"')
            case _:
                self._post(path, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _post(self, path: str, body: bytes) -> None:
        kind = self.headers.get("Content-Type", "")
        target = self.headers.get("X-Amz-Target")
        if target is not None:
            records, answer = answer_of_aws(target, body)
            self._taken(records, 200, json.dumps(answer).encode(), "application/x-amz-json-1.1")
        elif path.endswith("/v1/logs"):
            json_too = kind.startswith(_JSON)
            self._taken(records_of_otlp(body, kind), 200, b"{}" if json_too else b"", kind)
        elif path.endswith("/loki/api/v1/push"):
            self._taken(records_of_loki(body), 204, b"", _JSON)
        else:
            self._taken(records_in(body), 200, b"{}", _JSON)

    def _taken(self, records: int, status: int, body: bytes, content_type: str) -> None:
        self.server.count(records)
        self._answer(status, body, **{"Content-Type": content_type})

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def counting(folder: Path, config: dict[str, Any]) -> Iterator[Other]:
    """A sink in a process of its own. ``{address}`` in the output's configuration becomes where it listens."""
    with served("bench.outputs.counting", folder) as port:
        address = f"http://127.0.0.1:{port}"

        def received() -> int:
            with urllib.request.urlopen(f"{address}/_bench/count", timeout=10) as answer:  # noqa: S310 - our own
                return int(answer.read())

        yield Other(json.loads(json.dumps(config).replace("{address}", address)), received)


@contextmanager
def served(module: str, folder: Path) -> Iterator[int]:
    """A module run as a process that prints its port and serves until its standard input ends; the port."""
    with (folder / "peer.log").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.communicate()


if __name__ == "__main__":
    serve(Server())
