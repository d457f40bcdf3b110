"""The hops through Kinesis and AWS Lambda, with stand-ins for what is AWS's: ``stream`` for Kinesis, moto for S3. The
function posts to the counting sink.

* ``sidecar to Kinesis``: the agent tails the benchmark's file into a stream of one shard;
* ``Lambda to …``: the function of ``deploy/aws/lambda``, from its zip and run by AWS's own runtime client: one instance
  of it, as for one shard. The harness brings it the stream, cut into events as Lambda's mapping cuts it; its start is
  not counted.

What the stand-ins take is not told: it says nothing of AWS.
"""

import base64
import gzip
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.processes import cpu
from bench.scaling.hop import Hop, check, ids_in
from bench.scaling.sidecar import fill
from bench.scaling.stream import NAME, SHARD, in_stream, stream
from bench.steer import SinkControl, sink
from tests.deploy.aws.function import HANDLER, built, client, environment
from tests.servers.event_source import Record, event_of
from tests.servers.lambda_runtime import LambdaFunction
from tests.servers.moto import KEYS, REGION, MotoServer, moto_server

BATCH_RECORDS: Final = 500
TIMEOUT_SECS: Final = 120.0
"""``BatchSize`` and ``Timeout`` of ``deploy/aws/template.yaml``."""
EVENT_BYTES: Final = 6_000_000
"""What Lambda gives a function at once, at most; the records count as Base64."""


def hops(count: int, folder: Path) -> Iterator[Hop]:
    """Measure one after the other. What does not get every record once ends all."""
    with stream(folder) as address, moto_server(folder) as moto, sink(folder / "sink.log") as control:
        output = {"type": "kinesis", "stream": NAME, "region": REGION, "endpoint": address, **KEYS}
        name = "sidecar to Kinesis"
        secs, used = fill(count, {**output, "partition_key": "source"}, folder)
        records = in_stream(address)
        check(name, count, ids_in(gzip.decompress(record["Data"]) for record in records))
        yield Hop(name, count, secs, used)
        elasticsearch = {"ELASTICSEARCH_URL": f"http://127.0.0.1:{control.port}"}
        for name, settings in (
            ("Lambda to Elasticsearch", {"BUCKET": "searched", "ARCHIVE": "false", **elasticsearch}),
            ("Lambda to S3", {"BUCKET": "archived"}),
            ("Lambda to both", {"BUCKET": "both", **elasticsearch}),
        ):
            control.reset()
            _make_bucket(moto, settings["BUCKET"])
            secs, used = _drain(records, environment(moto, **settings), folder)
            _check(name, count, settings, moto, control)
            yield Hop(name, count, secs, used)


def batches(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records of a shard, cut as Lambda's mapping cuts a backlog: as many as an event may have, by number or by
    bytes, and at least one."""
    start = size = 0
    for i, record in enumerate(records):
        more = len(base64.b64encode(record["Data"]))
        if i > start and (i - start == BATCH_RECORDS or size + more > EVENT_BYTES):
            yield records[start:i]
            start, size = i, 0
        size += more
    if records:
        yield records[start:]


def _drain(records: Sequence[Record], settings: Mapping[str, str], within: Path) -> tuple[float, float]:
    """Bring a new function all records of a shard; seconds and CPU-seconds of the invocations."""
    with tempfile.TemporaryDirectory(prefix="function-", dir=within) as name:
        folder = Path(name)
        with LambdaFunction(built(folder / "function.zip"), HANDLER, settings, folder, TIMEOUT_SECS) as function:
            function.invoke({"Records": []})  # starts it
            before, secs = cpu(function.pid).total, 0.0
            for batch in batches(records):
                event = event_of(NAME, SHARD, batch)
                begun = time.monotonic()
                answer = function.invoke(event)
                secs += time.monotonic() - begun
                if answer["batchItemFailures"]:
                    raise SystemExit(f"the function wants records again:\n{function.log()[-2000:]}")
            return secs, cpu(function.pid).total - before


def _make_bucket(moto: MotoServer, bucket: str) -> None:
    client(moto, "s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})


def _check(name: str, count: int, settings: Mapping[str, str], moto: MotoServer, control: SinkControl) -> None:
    """Every place the function was to write to has each record once, and nothing was set aside."""
    s3, bucket = client(moto, "s3"), settings["BUCKET"]
    if "ELASTICSEARCH_URL" in settings:
        check(f"{name}: the sink", count, control.ids())
    if settings.get("ARCHIVE") != "false":
        check(f"{name}: the archive", count, ids_in(map(gzip.decompress, _objects(s3, bucket, "logs/"))))
    if aside := sum(1 for _ in _objects(s3, bucket, "bad/")):
        raise SystemExit(f"{name}: {aside} objects were set aside")


def _objects(s3: Any, bucket: str, prefix: str) -> Iterator[bytes]:
    """The objects below a prefix."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
