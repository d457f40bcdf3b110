"""The way through AWS as a whole: a model's log, the agent, Kinesis, the Lambda function, S3 and Elasticsearch.

Kinesis and S3 are moto's; the function is the zip that is deployed, run by AWS's own runtime client; Elasticsearch is
the real one. Agent and function are killed in the middle of their work. ``MODELTAIL_SOAK=1`` makes it longer.
"""

import gzip
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.outputs.elasticsearch.template import index_template
from tests.deploy.aws.function import HANDLER, built, client, environment
from tests.e2e.agent_process import AgentProcess
from tests.e2e.delivered import in_elasticsearch, stream_of
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.event_source import EventSource
from tests.servers.lambda_runtime import LambdaFunction
from tests.servers.moto import KEYS, REGION, MotoServer, moto_server

LONG = os.environ.get("MODELTAIL_SOAK") == "1"
RECORDS = 100_000 if LONG else 20_000
SECONDS = 20.0 if LONG else 3.0
AGENT_KILLS = 10 if LONG else 2
FUNCTION_KILLS_EVERY = 7
"""Of so many invocations one is killed on its way, or when it has just answered."""
KILL_SECS = 0.2
SHARDS = 2
STREAM = "logs-of-models"
BUCKET = "archive-of-models"
DATASET = "modeltail.pipeline"


@contextmanager
def _fed(source: EventSource) -> Iterator[None]:
    """The mapping at work; everything that is in the stream at the end has been through the function."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        running: Future[None] = executor.submit(source.run, stop)
        try:
            yield
        finally:
            stop.set()
            running.result()
    source.feed()


class _KilledNowAndThen:
    """Invokes the function, and kills some of its processes while they work."""

    def __init__(self, function: LambdaFunction, rng: random.Random) -> None:
        self._function = function
        self._rng = rng
        self._count = 0

    def __call__(self, event: Mapping[str, Any]) -> Any:
        self._count += 1
        if self._count % FUNCTION_KILLS_EVERY:
            return self._function.invoke(event)
        killer = threading.Timer(self._rng.uniform(0, KILL_SECS), self._function.kill)
        killer.start()
        try:
            return self._function.invoke(event)
        finally:
            killer.join()


def _kill_agent_while_writing(agent: AgentProcess, log: Path, rng: random.Random) -> None:
    """A model writes; the agent is killed at moments in between and started again."""
    command = [sys.executable, "-m", "tests.e2e.model_log", str(log), str(RECORDS), "3", str(SECONDS)]
    with subprocess.Popen(command) as model:
        began = time.monotonic()
        for moment in sorted(rng.uniform(0.3, SECONDS) for _ in range(AGENT_KILLS)):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            agent.kill()
            agent.start()
    assert model.returncode == 0


def _send_again(kinesis: Any, documents_each: int) -> int:
    """Put a part of what is in the stream into it once more, cut otherwise, as an agent does that lost its cursor. How
    many documents."""
    again = 0
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName=STREAM, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = kinesis.get_records(ShardIterator=iterator)["Records"][:10]
        lines = [line for record in records for line in gzip.decompress(record["Data"]).split(b"\n") if line]
        for start in range(0, len(lines), documents_each):
            data = gzip.compress(b"\n".join(lines[start : start + documents_each]))
            kinesis.put_record(StreamName=STREAM, Data=data, PartitionKey=records[0]["PartitionKey"])
        again += len(lines)
    return again


def _in_s3(s3: Any, prefix: str) -> Iterator[int]:
    """The number of every document in every object."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", ()):
            body = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
            for line in gzip.decompress(body).split(b"\n")[:-1]:
                yield msgspec.json.decode(line)["fields"]["n"]


def _prepare(moto: MotoServer, elasticsearch: ElasticsearchServer) -> None:
    """What the templates make, and `modeltail setup`."""
    client(moto, "kinesis").create_stream(StreamName=STREAM, ShardCount=SHARDS)
    client(moto, "s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    name = f"/_index_template/{DATASET}"
    elasticsearch.request("PUT", name, {**index_template(f"{stream_of(DATASET)}*"), "priority": 999})


def test_every_record_is_in_s3_and_elasticsearch_once(elasticsearch: ElasticsearchServer, tmp_path: Path) -> None:
    """Agent and function are killed on the way, and a part is sent twice: 20,000 records, once in each."""
    seed = random.randrange(1_000_000)
    print("seed", seed)
    rng = random.Random(seed)
    log = tmp_path / "model.log"
    output = {
        "type": "kinesis",
        "stream": STREAM,
        "region": REGION,
        "partition_key": "source",
        "record_bytes": "64KiB",
        **KEYS,
    }
    with moto_server(tmp_path) as moto:
        _prepare(moto, elasticsearch)
        kinesis, s3 = client(moto, "kinesis"), client(moto, "s3")
        settings = environment(moto, BUCKET=BUCKET, ELASTICSEARCH_URL=elasticsearch.url)
        config = {
            "inputs": [{"type": "file", "paths": [str(log)], "dataset": DATASET}],
            "outputs": [{**output, "endpoint": moto.url}],
        }
        with (
            LambdaFunction(built(tmp_path / "function.zip"), HANDLER, settings, tmp_path) as function,
            AgentProcess(tmp_path, config) as agent,
        ):
            invoke = _KilledNowAndThen(function, rng)
            source = EventSource(
                kinesis, STREAM, invoke, batch_size=20, attempts=100, cut=lambda size: rng.randint(1, size)
            )
            agent.start()
            with _fed(source):
                _kill_agent_while_writing(agent, log, rng)
                agent.wait_until_queued_is_zero(RECORDS)
                again = _send_again(kinesis, 37)
            assert agent.stop() == 0
            ledger = agent.log_text()
            done = [line for line in function.logged() if line["message"] == "Done"]
        archived = Counter(_in_s3(s3, "logs/"))
        bad = s3.list_objects_v2(Bucket=BUCKET, Prefix="bad/")["KeyCount"]
    indexed = Counter(in_elasticsearch(elasticsearch, DATASET))
    assert archived == dict.fromkeys(range(RECORDS), 1), ledger[-1000:]
    assert indexed == dict.fromkeys(range(RECORDS), 1)
    assert (source.on_failure, bad) == ([], 0)
    assert again > 0
    assert function.kills > 0
    assert sum(line["Duplicates.s3"] for line in done) >= again
    assert all(line["Bad"] == 0 for line in done)
