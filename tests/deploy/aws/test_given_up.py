"""What Lambda gives up after its attempts: where it is then, and how it gets where it belongs."""

import asyncio
import itertools
import time
from collections import deque
from datetime import UTC, datetime

from modeltail_lambda.archive import Archive
from modeltail_lambda.consume import Destination, consume

from agent.delivery.config import DeliveryConfig
from agent.outputs.s3.find import Search, Wanted
from agent.outputs.s3.replay import Replay
from tests.deploy.aws.stream import FIRST_SEQUENCE, SHARD, document, gzipped, record, record_id
from tests.deploy.aws.test_exactly_once import FakeIndex
from tests.fakes.objects import FakeObjects
from tests.fakes.output import FakeOutput
from tests.fakes.s3_client import FakeS3
from tests.servers.event_source import EventSource, Given

THREE = [record(gzipped([document(i)]), i) for i in range(3)]
ALL_OF_THEM = Given(SHARD, [str(FIRST_SEQUENCE + i) for i in range(3)])
DAY = Wanted(datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))


def _give_up(*destinations: Destination) -> list[Given]:
    """Bring three Kinesis records to these destinations, twice and no more. What was given up."""
    source = EventSource(
        None,
        "stream",
        lambda event: consume(event, destinations, None, time.monotonic() + 60, 1).answer(),
        attempts=2,
        bisect=False,
    )
    source.deliver(SHARD, THREE)
    return source.on_failure


def test_what_elasticsearch_did_not_take_lies_in_the_bucket_and_is_sent_again_from_there() -> None:
    """The function writes to S3 first. `modeltail s3 replay` reads its objects, and sends them under their ids."""
    s3, output = FakeS3(), FakeOutput()
    index = FakeIndex(deque(itertools.repeat(1, 100)))
    assert _give_up(Archive(s3, "bucket", "logs/"), index) == [ALL_OF_THEM]
    assert index.created.total() == 0
    bucket = FakeObjects()
    bucket.objects.update(s3.objects)
    replay = Replay(output, DeliveryConfig(), lambda _: None)
    asyncio.run(replay.run(Search(bucket, "logs/", DAY, lambda _: None).run(), lambda: None))
    assert output.taken == {record_id(i): document(i) for i in range(3)}
    assert replay.done.is_complete


def test_what_the_bucket_did_not_take_is_in_the_stream_alone() -> None:
    """Elasticsearch is not asked for it: S3 comes first."""
    s3, index = FakeS3(), FakeIndex(deque())
    s3.faults.extend(["refused"] * 100)
    assert _give_up(Archive(s3, "bucket", "logs/"), index) == [ALL_OF_THEM]
    assert (s3.objects, index.created.total()) == ({}, 0)
