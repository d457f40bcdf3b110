"""Each hop of both set-ups does its work, and a run in which a record is lost or doubled is none."""

import base64
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records import request_id
from bench.scaling.__main__ import WAYS
from bench.scaling.hop import Hop, check, ids_in
from bench.scaling.kinesis import BATCH_RECORDS, EVENT_BYTES, TIMEOUT_SECS, batches
from bench.scaling.stream import in_stream, stream
from tests.servers import ServerUnavailable, unavailable
from tests.servers.event_source import Record

RECORDS = 300
TEMPLATE = Path(__file__).parents[2] / "deploy/aws/template.yaml"
SIZES = st.lists(st.integers(0, 2_500_000), max_size=12) | st.lists(st.just(3), max_size=1500)


@pytest.mark.parametrize(
    ("way", "names"),
    [
        ("kafka", ["sidecar to Kafka", "Kafka to nothing", "Kafka to Elasticsearch"]),
        ("kinesis", ["sidecar to Kinesis", "Lambda to Elasticsearch", "Lambda to S3", "Lambda to both"]),
    ],
)
def test_every_hop_of_a_set_up_is_measured(way: str, names: list[str], tmp_path: Path) -> None:
    """A few records through each, with the real agent: all arrive once, or this would end with an error."""
    try:
        hops = list(WAYS[way](RECORDS, tmp_path))
    except ServerUnavailable as error:
        unavailable(error)
    assert [hop.name for hop in hops] == names
    assert all(hop.records == RECORDS and hop.secs > 0 and hop.cpu_secs >= 0 for hop in hops)


@settings(deadline=None)
@given(data=st.data(), count=st.integers(1, 50))
def test_run_that_lost_or_doubled_a_record_is_none(data: st.DataObject, count: int) -> None:
    """Any number of each record but one; also when losses and doubles add up to the right number."""
    copies = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    texts = [b'{"id":"%b"}\n' % request_id(i).encode() * n for i, n in enumerate(copies)]
    if copies == [1] * count:
        check("a place", count, ids_in(texts))
        return
    lost, doubled = copies.count(0), copies.count(2)
    with pytest.raises(SystemExit, match=f"a place: {lost} of {count} records are missing, {doubled} came twice"):
        check("a place", count, ids_in(texts))


def test_stream_keeps_what_is_put_at_the_same_moment(tmp_path: Path) -> None:
    """Eight at once: every record is there, once, in the order of the numbers that were told, and as it was put."""

    def put(sender: int) -> dict[str, bytes]:
        payloads = [b"%d-%d" % (sender, i) for i in range(200)]
        told: dict[str, bytes] = {}
        connection = HTTPConnection(address.removeprefix("http://"), timeout=30)
        with closing(connection):
            for some in (payloads[i : i + 10] for i in range(0, 200, 10)):
                entries = [{"Data": base64.b64encode(data).decode(), "PartitionKey": "k"} for data in some]
                body = json.dumps({"StreamName": "s", "Records": entries})
                connection.request("POST", "/", body, {"X-Amz-Target": "Kinesis_20131202.PutRecords"})
                answer = json.loads(connection.getresponse().read())
                assert answer["FailedRecordCount"] == 0
                told |= {r["SequenceNumber"]: data for r, data in zip(answer["Records"], some, strict=True)}
        return told

    with stream(tmp_path) as address, ThreadPoolExecutor(8) as pool:
        told = {number: data for each in pool.map(put, range(8)) for number, data in each.items()}
        kept = in_stream(address)
    assert len(told) == 8 * 200
    assert [(record["SequenceNumber"], record["Data"]) for record in kept] == sorted(told.items())


@settings(deadline=None)
@given(sizes=SIZES)
def test_events_are_as_full_as_they_may_be(sizes: list[int]) -> None:
    """All records, in their order; the next record would have been one or some bytes too many."""
    records: list[Record] = [{"Data": bytes(size)} for size in sizes]
    made = list(batches(records))
    assert [record for batch in made for record in batch] == records
    for batch in made:
        assert 0 < len(batch) <= BATCH_RECORDS
        assert len(batch) == 1 or encoded(batch) <= EVENT_BYTES
    for batch, following in pairwise(made):
        assert len(batch) == BATCH_RECORDS or encoded([*batch, following[0]]) > EVENT_BYTES


def encoded(batch: Sequence[Record]) -> int:
    """Their bytes as Base64."""
    return sum(len(base64.b64encode(record["Data"])) for record in batch)


@pytest.mark.parametrize(("setting", "ours"), [("BatchSize", BATCH_RECORDS), ("Timeout", TIMEOUT_SECS)])
def test_function_is_measured_as_it_is_deployed(setting: str, ours: float) -> None:
    """What the harness takes for the mapping's settings is what the template sets."""
    assert re.findall(rf"^ +{setting}: (\d+)$", TEMPLATE.read_text(), re.MULTILINE) == [f"{ours:.0f}"]


def test_hop_through_stand_in_tells_nothing_of_it() -> None:
    """A row without the broker's CPU time has a dash in its place."""
    assert Hop("a hop", 2_000_000, 4.0, 6.0, 1.0).row().split() == ["a", "hop", "2000000", "500000", "3.00", "0.50"]
    assert Hop("a hop", 2_000_000, 4.0, 6.0).row().split()[-1] == "–"
