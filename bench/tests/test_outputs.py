"""The other ends that the outputs are measured against count what they are sent, and answer as they should."""

import asyncio
import base64
import gzip
import json
import statistics
import subprocess
import sys
import zlib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from bench.outputs.__main__ import peers
from bench.outputs.counting import counting, records_in, without_chunks
from bench.outputs.lumberjack import _EVENT, _NUMBER, ask
from bench.outputs.lumberjack import lumberjack as lumberjack_peer
from bench.outputs.peer import Other
from bench.outputs.run import Shipped, typical
from bench.records import blocks

RECORDS = 5
SECS = st.floats(0, 100)
LINES = b"".join(blocks(RECORDS))


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Other]:
    """A counting sink."""
    with counting(tmp_path, {"address": "{address}"}) as other:
        yield other


def ask_for(other: Other, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """One request; status and body."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = HTTPConnection(other.config["address"].removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def in_aws(*payloads: bytes) -> bytes:
    """A request of Kinesis or Firehose."""
    return json.dumps({"Records": [{"Data": base64.b64encode(payload).decode()} for payload in payloads]}).encode()


def in_otlp() -> bytes:
    """A request of OTLP."""
    scope = ScopeLogs(log_records=[LogRecord() for _ in range(RECORDS)])
    body: bytes = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[scope])]).SerializeToString()
    return body


def in_loki() -> bytes:
    """A push."""
    values = [["1", line.decode()] for line in LINES.splitlines()]
    return json.dumps(
        {"streams": [{"stream": {}, "values": values[:2]}, {"stream": {}, "values": values[2:]}]}
    ).encode()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "answer"),
    [
        ("POST", "/hook", LINES, {}, (200, b"{}")),
        ("POST", "/hook", gzip.compress(LINES), {"Content_Encoding": "gzip"}, (200, b"{}")),
        ("PUT", "/bucket/logs/a.ndjson.gz", gzip.compress(LINES), {}, (200, b"")),
        ("POST", "/v1/logs", in_otlp(), {"Content_Type": "application/x-protobuf"}, (200, b"")),
        ("POST", "/loki/api/v1/push", in_loki(), {"Content_Type": "application/json"}, (204, b"")),
        (
            "POST",
            "/",
            in_aws(gzip.compress(LINES)),
            {"X_Amz_Target": "Kinesis_20131202.PutRecords"},
            (
                200,
                b'{"FailedRecordCount": 0, "Records": [{"SequenceNumber": "0", "ShardId": "shardId-000000000000"}]}',
            ),
        ),
        (
            "POST",
            "/",
            in_aws(*LINES.splitlines(keepends=True)[:4], LINES.splitlines()[4]),
            {"X_Amz_Target": "Firehose_20150804.PutRecordBatch"},
            (
                200,
                json.dumps(
                    {"FailedPutCount": 0, "RequestResponses": [{"RecordId": str(i)} for i in range(5)]}
                ).encode(),
            ),
        ),
    ],
    ids=["webhook", "webhook, gzip", "S3", "OTLP", "Loki", "Kinesis", "Firehose"],
)
def test_sink_counts_and_answers(
    counter: Other, method: str, path: str, body: bytes, headers: dict[str, str], answer: tuple[int, bytes]
) -> None:
    """Five records, in each protocol's own form."""
    assert ask_for(counter, method, path, body, **headers) == answer
    assert counter.received() == RECORDS


def test_object_sent_in_chunks_is_put_together() -> None:
    """As AWS's own libraries send it, with a checksum behind it."""
    chunked = b"%x\r\n%b\r\n%x;chunk-signature=0\r\n%b\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    assert without_chunks(chunked % (100, LINES[:100], len(LINES) - 100, LINES[100:])) == LINES
    assert records_in(LINES) == RECORDS


def test_lumberjack_window_is_acknowledged_when_all_of_it_came(tmp_path: Path) -> None:
    """Compressed or not; the answer names the last event."""

    async def talk(port: int) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        events = [b"2J" + _EVENT.pack(n, 2) + b"{}" for n in range(1, RECORDS + 1)]
        squeezed = zlib.compress(b"".join(events[1:]))
        writer.write(b"2W" + _NUMBER.pack(RECORDS) + events[0] + b"2C" + _NUMBER.pack(len(squeezed)) + squeezed)
        first = await reader.readexactly(6)
        writer.write(b"2W" + _NUMBER.pack(1) + events[0])
        second = await reader.readexactly(6)
        writer.close()
        await writer.wait_closed()
        return [first, second]

    with lumberjack_peer(tmp_path, {"type": "logstash"}) as other:
        port = int(other.config["hosts"][0].rpartition(":")[2])
        assert asyncio.run(talk(port)) == [b"2A" + _NUMBER.pack(RECORDS), b"2A" + _NUMBER.pack(1)]
        assert ask(port) == other.received() == RECORDS + 1


def test_every_output_is_measured(tmp_path: Path) -> None:
    """A few records each, with the real agent: all arrive, and there is a row for each."""
    command = [sys.executable, "-m", "bench.outputs", "--records", "500"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = done.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [peer.name for peer in peers()]
    assert all(row.split()[1] == "500" for row in rows)


def test_rounds_give_one_row_for_each_output() -> None:
    """Two outputs in two rounds: two rows, the first that of what the other is compared with."""
    command = [sys.executable, "-m", "bench.outputs", "--records", "500", "--rounds", "2", "ndjson", "elasticsearch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == ["elasticsearch", "ndjson"]


@settings(deadline=None)
@given(st.lists(st.builds(Shipped, st.just("x"), st.just(2), st.integers(1, 3), st.just(1.0), SECS), min_size=1))
def test_median_run_stands_for_all_unless_one_is_incomplete(runs: list[Shipped]) -> None:
    """No rounds can hide a run that lost or doubled records; otherwise as many runs took less CPU time as took more."""
    shown = typical(runs)
    assert shown in runs
    if all(run.is_complete for run in runs):
        assert shown.cpu_secs == statistics.median_low(run.cpu_secs for run in runs)
    else:
        assert not shown.is_complete
