"""The hops through Kinesis and AWS Lambda. In AWS's place is moto, with Kinesis and S3; the function posts to the
counting sink.

* ``sidecar to Kinesis``: the agent tails the benchmark's file into a stream of one shard;
* ``Lambda to …``: the function of ``deploy/aws/lambda``, from its zip and run by AWS's own runtime client: one instance
  of it, as for one shard. The harness brings it the stream, cut into events as Lambda's mapping cuts it; its start is
  not counted.

What moto takes is not told: AWS's own take is nobody's machine but AWS's.
"""

import base64
import gzip
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.processes import cpu
from bench.scaling.hop import Hop, check, ids_in
from bench.scaling.sidecar import fill
from bench.steer import SinkControl, sink
from tests.deploy.aws.function import HANDLER, built, client, environment
from tests.servers.event_source import Record, event_of
from tests.servers.lambda_runtime import LambdaFunction
from tests.servers.moto import KEYS, REGION, MotoServer, moto_server

STREAM = "records"
BATCH_RECORDS: Final = 500
TIMEOUT_SECS: Final = 120.0
"""``BatchSize`` and ``Timeout`` of ``deploy/aws/template.yaml``."""
EVENT_BYTES: Final = 6_000_000
"""What Lambda gives a function at once, at most; the records count as Base64."""


def hops(count: int, folder: Path) -> Iterator[Hop]:
    """Measure one after the other. What does not get every record once ends all."""
    with moto_server(folder) as moto, sink(folder / "sink.log") as control:
        client(moto, "kinesis").create_stream(StreamName=STREAM, ShardCount=1)
        output = {"type": "kinesis", "stream": STREAM, "region": REGION, "endpoint": moto.url, **KEYS}
        name = "sidecar to Kinesis"
        secs, used = fill(count, {**output, "partition_key": "source"}, folder)
        shard, records = _in_stream(moto)
        check(name, count, ids_in(gzip.decompress(record["Data"]) for record in records))
        yield Hop(name, count, secs, used)
        elasticsearch = {"ELASTICSEARCH_URL": f"http://127.0.0.1:{control.port}"}
        ways: list[tuple[str, dict[str, str]]] = [
            ("Lambda to Elasticsearch", {"BUCKET": "searched", "ARCHIVE": "false", **elasticsearch}),
            ("Lambda to S3", {"BUCKET": "archived"}),
            ("Lambda to both", {"BUCKET": "both", **elasticsearch}),
        ]
        for number, (name, settings) in enumerate(ways):
            work = folder / f"function-{number}"
            work.mkdir()
            control.reset()
            _make_bucket(moto, settings["BUCKET"])
            with LambdaFunction(
                built(work / "function.zip"), HANDLER, environment(moto, **settings), work, TIMEOUT_SECS
            ) as function:
                secs, used = _invoke(function, shard, records)
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


def _invoke(function: LambdaFunction, shard: str, records: Sequence[Record]) -> tuple[float, float]:
    """Bring the function all records of a shard; seconds and CPU-seconds of the invocations."""
    function.invoke({"Records": []})  # starts it
    before, secs = cpu(function.pid).total, 0.0
    for batch in batches(records):
        event = event_of(STREAM, shard, batch)
        begun = time.monotonic()
        answer = function.invoke(event)
        secs += time.monotonic() - begun
        if answer["batchItemFailures"]:
            raise SystemExit(f"the function wants records again:\n{function.log()[-2000:]}")
    return secs, cpu(function.pid).total - before


def _in_stream(moto: MotoServer) -> tuple[str, Sequence[Record]]:
    """The name of the stream's shard, and what is in it."""
    kinesis = client(moto, "kinesis")
    (shard,) = kinesis.list_shards(StreamName=STREAM)["Shards"]
    name: str = shard["ShardId"]
    answer = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=name, ShardIteratorType="TRIM_HORIZON")
    iterator, records = answer["ShardIterator"], []
    while found := (answer := kinesis.get_records(ShardIterator=iterator))["Records"]:
        records += found
        iterator = answer["NextShardIterator"]
    return name, records


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
