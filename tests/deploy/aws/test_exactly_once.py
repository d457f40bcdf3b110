"""However the stream is cut and whatever fails, each document is in S3 and in Elasticsearch once.

``MODELTAIL_SOAK=1`` plays twenty times as many stories.
"""

import gzip
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modeltail_lambda.archive import Archive
from modeltail_lambda.bad import BadStore
from modeltail_lambda.consume import consume
from modeltail_lambda.document import read_document
from modeltail_lambda.result import Taken
from modeltail_lambda.unit import Unit

from tests.deploy.aws.stream import FIRST_SEQUENCE, OTHER_RUN, RUN, SHARD, document, gzipped, record
from tests.fakes.s3_client import FakeS3, Fault, Killed
from tests.servers.event_source import EventSource, event_of
from tests.servers.lambda_runtime import FunctionFailed

SOAK = 20 if os.environ.get("MODELTAIL_SOAK") else 1
FAULTS: st.SearchStrategy[Fault] = st.sampled_from(
    ("fine", "fine", "fine", "refused", "lost", "killed before", "killed after")
)
HOURS = ("2026-11-22T10:00:00Z", "2026-11-22T11:59:59.999999999Z", "2026-11-22T12:30:00+01:30")


class FakeIndex:
    """Creates documents by id. Some units fail, after their documents are there or before."""

    name = "elasticsearch"

    def __init__(self, fails: deque[int]) -> None:
        self.created: Counter[str] = Counter()
        self._fails = fails

    def take(self, units: Sequence[Unit], deadline: float) -> Taken:
        """Create what is not there."""
        taken = Taken()
        for i, unit in enumerate(units):
            failure = self._fails.popleft() if self._fails else 0
            for each in unit.documents if failure != 1 else ():
                if not self.created[each.id]:
                    self.created[each.id] += 1
            if failure:
                taken.failed[i] = "because"
        return taken


def numbers_in(objects: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Id and dt/hour of every document in every object of the archive."""
    for key, body in objects.items():
        if key.startswith("logs/"):
            for line in gzip.decompress(body).split(b"\n")[:-1]:
                found = read_document(line)
                assert f"/dt={found.date}/hour={found.hour}/" in key
                yield found.id, found.hour


@st.composite
def sendings(draw: st.DrawFn) -> list[list[bytes]]:
    """Kinesis records of one agent, which starts again now and then and sends from an earlier place, cut otherwise."""
    count = draw(st.integers(1, 60))
    documents = [
        document(i, run=draw(st.sampled_from((RUN, RUN, OTHER_RUN))), time=draw(st.sampled_from(HOURS)))
        for i in range(count)
    ]
    sent: list[list[bytes]] = []
    at = 0
    while at < count:
        size = draw(st.integers(1, 20))
        sent.append(documents[at : at + size])
        at += size
        if draw(st.integers(0, 3)) == 0:
            at = max(0, at - draw(st.integers(1, 30)))
        if len(sent) > 40:
            sent.append(documents[at:])
            break
    return [draw(st.permutations(some)) for some in sent]


@settings(max_examples=100 * SOAK)
@given(
    sent=sendings(),
    cuts=st.lists(st.integers(1, 12)),
    faults=st.lists(FAULTS, max_size=60),
    fails=st.lists(st.sampled_from((0, 0, 0, 1, 2)), max_size=40),
    bisect=st.booleans(),
)
def test_every_document_is_in_both_once(
    sent: list[list[bytes]], cuts: list[int], faults: list[Fault], fails: list[int], bisect: bool
) -> None:
    """Repeats, cuts, bisection, refusals, lost answers and kills at any call: each id once, nothing given up."""
    s3 = FakeS3()
    s3.faults.extend(faults)
    index = FakeIndex(deque(fails))

    def invoke(event: Mapping[str, Any]) -> Any:
        archive, aside = Archive(s3, "bucket", "logs/", workers=1), BadStore(s3, "bucket", "bad/")
        try:
            return consume(event, [archive, index], aside, time.monotonic() + 60, 1).answer()
        except Killed:
            raise FunctionFailed("Killed", "") from None

    source = EventSource(None, "stream", invoke, bisect=bisect)
    records = [record(gzipped(documents), i) for i, documents in enumerate(sent)]
    drawn = iter(cuts)
    while records:
        size = next(drawn, 5)
        source.deliver(SHARD, records[:size])
        records = records[size:]
    wanted = {read_document(text).id for documents in sent for text in documents}
    archived = Counter(found for found, _ in numbers_in(s3.objects))
    assert archived == dict.fromkeys(wanted, 1)
    assert index.created == dict.fromkeys(wanted, 1)
    assert source.on_failure == []


def test_records_are_written_byte_for_byte() -> None:
    """A number of many digits, an escape, two equal keys: what was written is what lies in S3."""
    odd = document(1)[:-1] + b',"x":1.10,"y":123456789012345678901234567890,"q":"\\u00e9\\ud800","z":1E400}'
    s3 = FakeS3()
    event_records = [record(gzipped([odd]))]
    source = EventSource(
        None,
        "stream",
        lambda event: consume(event, [Archive(s3, "bucket", "logs/")], None, time.monotonic() + 60, 1).answer(),
    )
    source.deliver(SHARD, event_records)
    (body,) = s3.objects.values()
    assert gzip.decompress(body) == odd + b"\n"


class _LatePut(FakeS3):
    """The put of a function that was killed arrives when the next invocation has looked already."""

    late: bytes | None = b"what the killed function sent"

    def put_object(self, *, Key: str, **arguments: Any) -> None:
        if self.late is not None:
            self.objects[Key], self.late = self.late, None
        super().put_object(Key=Key, **arguments)


def test_object_that_arrives_late_is_not_written_over() -> None:
    """The key is that of the Kinesis record: what a killed function sent for it stays, and counts as a repeat."""
    s3 = _LatePut()
    event = event_of("stream", SHARD, [record(gzipped([document(1), document(2)]))])
    report = consume(event, [Archive(s3, "bucket", "logs/")], None, time.monotonic() + 60, 1)
    assert list(s3.objects.values()) == [b"what the killed function sent"]
    assert (report.stored, report.duplicates, report.failed) == ({"s3": 0}, {"s3": 2}, {})


def test_failure_ends_the_work_on_its_shard_only() -> None:
    """The answer names the first failed record of each shard, and nothing behind it was begun."""
    other = "shardId-000000000001"
    events = [
        event_of("stream", shard, [record(gzipped([document(i)]), i) for i in range(3)]) for shard in (SHARD, other)
    ]
    event = {"Records": [each for event in events for each in event["Records"]]}
    index = FakeIndex(deque([0, 1, 0]))
    report = consume(event, [index], None, time.monotonic() + 60, 1)
    assert report.answer() == {"batchItemFailures": [{"itemIdentifier": str(FIRST_SEQUENCE + 1)}]}
    assert set(report.failed) == {SHARD}


def test_time_that_is_up_puts_off_what_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is done whole; the one for which no time is left comes again, and is not a failure of any record."""
    monkeypatch.setattr("modeltail_lambda.consume.SLICE_BYTES", 1)
    event = event_of("stream", SHARD, [record(gzipped([document(i)]), i) for i in range(3)])
    report = consume(event, [FakeIndex(deque())], None, time.monotonic() + 1, 5)
    assert (report.answer(), report.put_off) == (
        {"batchItemFailures": [{"itemIdentifier": str(FIRST_SEQUENCE + 1)}]},
        1,
    )
