"""The counting sink: an Elasticsearch that keeps nothing but the ids of what it was sent.

It answers ``_bulk`` with as many items as there were action lines, in the form that ``filter_path`` asks for, and notes
each record's ``request_id`` and the time it came. All contenders post to the same one, in a process of its own whose
work is not counted.

``python -m bench.sink`` prints its port and serves until its standard input ends. The harness steers it with ``PUT
/_bench/reset``, ``hold`` (refuse bulks with 503) and ``release``, and asks with ``GET /_bench/count``, ``ids`` and
``arrivals``.
"""

import json
import re
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

from isal import isal_zlib

from bench.elastic import Cluster

MAX_BODY_BYTES = 256 * 1024 * 1024
"""As sent and as inflated. Nobody posts that much at once; it bounds what a broken contender can do to the machine."""

ARRIVAL = struct.Struct("<QI")
"""In the answer to ``arrivals``, for each bulk, in the order of the ids: ns since the epoch and number of records."""

REQUEST_ID = re.compile(rb'id": ?"([0-9a-f]{8})"')
"""A record's ``request_id``, under whatever name a contender ships it."""

_ACTION_ID = re.compile(r'\{ ?"(?:create|index)": ?\{(?:[^\n]*?"_id": ?"([^"]+)")?')
_INDEX = ".ds-logs-modeltail.inference-default-2026.11.22-000001"
_ITEM = {
    "_index": _INDEX,
    "_version": 1,
    "result": "created",
    "_shards": {"total": 2, "successful": 1, "failed": 0},
    "_seq_no": 1,
    "_primary_term": 1,
    "status": 201,
}
_FILTER = re.compile(r"items\.(?:\*|create)\.(\w+)")


class Tally:
    """What came so far. One lock, taken once per bulk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held = False
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.records = 0
        self.bulks = 0
        self.body_bytes = 0
        self.raw_bytes = 0
        self.ids: list[bytes] = []
        self.arrivals: list[tuple[int, int]] = []

    def note(self, at_ns: int, records: int, ids: bytes, body_bytes: int, raw_bytes: int) -> None:
        """One bulk has been taken."""
        with self._lock:
            self.records += records
            self.bulks += 1
            self.body_bytes += body_bytes
            self.raw_bytes += raw_bytes
            self.ids.append(ids)
            self.arrivals.append((at_ns, len(ids) // 8))

    def counts(self) -> dict[str, int]:
        """Records and bulks, and their bytes as sent and as they were before compression."""
        return {
            "records": self.records,
            "bulks": self.bulks,
            "body_bytes": self.body_bytes,
            "raw_bytes": self.raw_bytes,
        }


def bulk_answer(query: str, body: bytes, records: int) -> bytes:
    """What Elasticsearch answers to a bulk that succeeded, cut down to what ``filter_path`` asks for."""
    filters = parse_qs(query).get("filter_path", ["took,errors,items"])[0].split(",")
    head = [text for key, text in (("errors", '"errors":false'), ("took", '"took":3')) if key in filters]
    everything = not {"items", "items.*", "items.*.*"}.isdisjoint(filters)
    names = {match[1] for f in filters if (match := _FILTER.fullmatch(f))}
    fields = {key: value for key, value in _ITEM.items() if everything or key in names}
    if everything or "_id" in names:
        # Text around each id, not an object for each: the sink must not be what a fast contender waits for.
        before, after = _item({"_id": "\n", **fields}).split("\\n")
        actions = b"\n".join(body.split(b"\n")[::2])
        given = [found or f"generated-{n}" for n, found in enumerate(_ACTION_ID.findall(actions.decode()))]
        items = [f"{before}{name}{after}" for name in given]
    else:
        # A field that is not there leaves nothing of an item, and then nothing of the list.
        items = [_item(fields)] * records if fields else []
    if items:
        head.append(f'"items":[{",".join(items)}]')
    return f"{{{','.join(head)}}}".encode()


def _item(fields: dict[str, Any]) -> str:
    return json.dumps({"create": fields}, separators=(",", ":"))


class Handler(BaseHTTPRequestHandler):
    """One connection. HTTP/1.1 with keep-alive; bodies by length or in chunks, plain or gzip."""

    protocol_version = "HTTP/1.1"
    server: "Sink"
    disable_nagle_algorithm = True
    product: ClassVar[tuple[str, str]] = ("X-Elastic-Product", "Elasticsearch")
    """The header by which a client knows what it talks to."""

    def _serve(self) -> None:
        body = self._body()
        path, _, query = self.path.partition("?")
        if path.startswith("/_bench/"):
            self._steer(path.removeprefix("/_bench/"))
        elif path.endswith("/_bulk"):
            self._bulk(query, body)
        else:
            status, answer = self.server.cluster.answer(self.command, path, body)
            self._reply(status, json.dumps(answer).encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self) -> bytes:
        """The request's body, decompressed."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            length = int(self.headers.get("Content-Length", 0))
            if length > MAX_BODY_BYTES:
                raise ValueError("a request body is larger than the sink takes")
            body = self.rfile.read(length)
        self._sent_bytes = len(body)
        if self.headers.get("Content-Encoding") == "gzip":
            # The last four bytes say how long it becomes: one allocation of the right size halves the sink's work.
            length = int.from_bytes(body[-4:], "little")
            if length > MAX_BODY_BYTES:
                raise ValueError("a request body inflates to more than the sink takes")
            body = isal_zlib.decompress(body, wbits=31, bufsize=length + 1)
        return body

    def _bulk(self, query: str, body: bytes) -> None:
        at_ns = time.time_ns()
        tally = self.server.tally
        if tally.held:
            self._reply(
                503, b'{"error":{"type":"unavailable_shards_exception","reason":"held by the benchmark"},"status":503}'
            )
            return
        records = body.count(b"\n") // 2
        tally.note(at_ns, records, b"".join(REQUEST_ID.findall(body)), self._sent_bytes, len(body))
        self._reply(200, bulk_answer(query, body, records))

    def _steer(self, order: str) -> None:
        tally = self.server.tally
        answer = b"{}"
        match order:
            case "reset":
                tally.reset()
            case "hold" | "release":
                tally.held = order == "hold"
            case "count":
                answer = json.dumps(tally.counts()).encode()
            case "ids":
                answer = b"".join(tally.ids)
            case "arrivals":
                answer = b"".join(ARRIVAL.pack(*a) for a in tally.arrivals)
            case _:
                self._reply(404, b"{}")
                return
        self._reply(200, answer)

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header(*self.product)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what matters is counted."""


class Sink(ThreadingHTTPServer):
    """Serves every connection in a thread of its own, on a free port of the loopback interface."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[Handler] = Handler, cluster: Cluster | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.tally = Tally()
        self.cluster = cluster or Cluster()


def serve(server: ThreadingHTTPServer) -> None:
    """Print the port and serve until standard input ends, so that no server outlives the harness, however that ends."""
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()


if __name__ == "__main__":
    serve(Sink())
