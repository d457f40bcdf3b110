"""What the function sends to Elasticsearch, and what it makes of the answers: against the fake whose faults are
scripted, and for rollovers the real one."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import pytest
from modeltail_lambda.api_key import NoKey
from modeltail_lambda.consume import Report, consume
from modeltail_lambda.index import PAUSES_SECS, Index
from modeltail_lambda.unit import Bad

from agent.outputs.elasticsearch.template import index_template
from tests.deploy.aws.stream import FIRST_SEQUENCE, SHARD, document, gzipped, record, record_id
from tests.fakes import faults
from tests.fakes.elasticsearch import FakeElasticsearch, Fault
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.event_source import event_of
from tests.servers.process import free_port

STREAM = "logs-modeltail.inference-default"
AUTHORIZATION = "ApiKey c2VjcmV0"


class Kept:
    """Where bad documents are kept: a list."""

    def __init__(self) -> None:
        self.bad: list[Bad] = []

    def put(self, bad: Sequence[Bad]) -> str:
        """Keep it."""
        self.bad += bad
        return "kept"


def _index(
    url: str,
    records: Sequence[Sequence[bytes]],
    kept: Kept | None = None,
    max_bytes: int = 5_000_000,
    old_keys: Sequence[str] = (),
) -> Report:
    """What became of these Kinesis records."""
    authorizations = itertools.chain(old_keys, itertools.repeat(AUTHORIZATION))
    index = Index(url, lambda: next(authorizations), max_bytes=max_bytes, timeout_secs=2, pause=lambda _: None)
    event = event_of("stream", SHARD, [record(gzipped(some), i) for i, some in enumerate(records)])
    try:
        return consume(event, [index], kept, time.monotonic() + 60, 1)
    finally:
        index.close()


def _with_fake(
    records: Sequence[Sequence[bytes]],
    script: Sequence[Fault] = (),
    *,
    kept: Kept | None = None,
    before: Callable[[FakeElasticsearch], None] = lambda _: None,
    max_bytes: int = 5_000_000,
    max_body: int = 100 * 1024**2,
    old_keys: Sequence[str] = (),
) -> tuple[Report, FakeElasticsearch]:
    """The same against the fake, which plays a script."""

    async def play() -> tuple[Report, FakeElasticsearch]:
        async with FakeElasticsearch(authorization=AUTHORIZATION, max_body=max_body) as server:
            server.templates["logs"] = {"index_patterns": ["logs-*"], "priority": 1, "template": {}}
            before(server)
            server.faults.extend(script)
            report = await asyncio.to_thread(_index, server.url, records, kept, max_bytes, old_keys)
            return report, server

    return asyncio.run(play())


def _ids(server: FakeElasticsearch, stream: str = STREAM) -> list[str]:
    return sorted(record for record, _ in server.documents(stream))


THREE = [[document(1), document(2)], [document(3)]]
THEIR_IDS = [record_id(1), record_id(2), record_id(3)]


def test_documents_are_created_byte_for_byte() -> None:
    """Under their ids, in the data stream that they name."""
    report, server = _with_fake(THREE)
    assert sorted(server.documents(STREAM)) == [(record_id(i), document(i)) for i in (1, 2, 3)]
    assert (report.stored, report.duplicates) == ({"elasticsearch": 3}, {"elasticsearch": 0})
    (bulk,) = server.bulks
    assert {operation.action for operation in bulk.operations} == {"create"}
    assert bulk.query["require_data_stream"] == "true"


def test_each_data_stream_gets_its_documents() -> None:
    """Whatever shares a Kinesis record."""
    other = document(2, data_stream={"dataset": "modeltail.audit", "namespace": "prod"})
    _, server = _with_fake([[document(1), other]])
    assert (_ids(server), _ids(server, "logs-modeltail.audit-prod")) == ([record_id(1)], [record_id(2)])


def test_requests_are_bounded_in_size() -> None:
    """So many bytes of documents, and at least one of them."""
    _, server = _with_fake([[document(i) for i in range(20)]], max_bytes=1200)
    assert len(server.bulks) > 3
    assert _ids(server) == sorted(record_id(i) for i in range(20))


def test_too_large_request_is_sent_in_halves() -> None:
    """413 is no reason to give up what would pass alone."""
    _, server = _with_fake([[document(i) for i in range(20)]], max_body=2000)
    assert _ids(server) == sorted(record_id(i) for i in range(20))


def test_document_that_is_too_large_alone_is_set_aside() -> None:
    """The others of its Kinesis record arrive."""
    kept = Kept()
    huge = document(2, message="x" * 5000)
    report, server = _with_fake([[document(1), huge, document(3)]], kept=kept, max_body=2000)
    assert _ids(server) == [record_id(1), record_id(3)]
    assert [bad.content for bad in kept.bad] == [huge]
    assert (report.bad, report.failed) == (1, {})


@pytest.mark.parametrize(
    "fault",
    [
        faults.refuses(429),
        faults.refuses(503),
        faults.hangs_up(taken=True),
        faults.hangs_up(taken=False),
        faults.hangs_up(taken=True, half_answered=True),
        faults.answers(200, b"<html>"),
        faults.answers(200, b'{"items":[{"create":5}]}'),
        faults.forgets_item(),
        faults.reorders_items({}),
        faults.fails_items({0: 429, 2: 503}),
        faults.fails_items_it_took({1: 503}),
    ],
    ids=lambda fault: fault.__qualname__,
)
def test_trouble_that_passes_is_over_within_the_invocation(fault: Fault) -> None:
    """It is sent again; what had arrived is a repeat, not a second document."""
    report, server = _with_fake(THREE, [fault])
    assert _ids(server) == THEIR_IDS
    assert report.failed == {}
    assert report.stored["elasticsearch"] + report.duplicates["elasticsearch"] == 3


def test_trouble_that_stays_is_for_the_next_invocation() -> None:
    """The first record that has a document in trouble is named; its neighbour before it is done."""
    stays = [faults.fails_items({2: 429}), *[faults.fails_items({0: 429})] * len(PAUSES_SECS)]
    report, server = _with_fake(THREE, stays)
    assert _ids(server) == [record_id(1), record_id(2)]
    assert report.failed == {SHARD: str(FIRST_SEQUENCE + 1)}
    assert "es_rejected_execution_exception" in report.reasons[SHARD]


def test_refused_document_is_set_aside_with_the_reason() -> None:
    """A document that the mapping does not take does not hold up the others, and is not dropped."""
    kept = Kept()
    report, server = _with_fake(THREE, [faults.fails_items({1: 400}, reason="failed to parse")], kept=kept)
    assert _ids(server) == [record_id(1), record_id(3)]
    assert [(bad.content, bad.arrival.sequence) for bad in kept.bad] == [(document(2), str(FIRST_SEQUENCE))]
    assert "document_parsing_exception: failed to parse" in kept.bad[0].reason
    assert (report.bad, report.failed) == (1, {})


def test_refused_document_without_a_bucket_comes_again() -> None:
    """Nothing is dropped: in the end the mapping gives its record to the on-failure destination."""
    report, _ = _with_fake(THREE, [faults.fails_items({2: 400})])
    assert report.failed == {SHARD: str(FIRST_SEQUENCE + 1)}
    assert "no bucket" in report.reasons[SHARD]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_person_must_mend_refuses_no_document(status: int) -> None:
    """Wrong key, missing privilege, missing template: everything comes again."""
    kept = Kept()
    report, _ = _with_fake(THREE, [faults.refuses(status)] * (len(PAUSES_SECS) + 1), kept=kept)
    assert report.failed == {SHARD: str(FIRST_SEQUENCE)}
    assert str(status) in report.reasons[SHARD]
    assert kept.bad == []


def test_missing_template_refuses_no_document() -> None:
    """404 for each item: the data stream cannot be made yet."""
    report, _ = _with_fake(THREE, before=lambda server: server.templates.clear(), kept=Kept())
    assert report.failed == {SHARD: str(FIRST_SEQUENCE)}
    assert "index_not_found_exception" in report.reasons[SHARD]


def test_nobody_there_is_for_the_next_invocation() -> None:
    """Connection refused: the first record is named."""
    report = _index(f"http://127.0.0.1:{free_port()}", THREE)
    assert report.failed == {SHARD: str(FIRST_SEQUENCE)}
    assert "refused" in report.reasons[SHARD]


def test_indices_that_may_not_be_listed_are_said() -> None:
    """A repeat after a rollover could not be told from a new document, so nothing is sent."""
    looks = [403] * (len(PAUSES_SECS) + 1)
    report, server = _with_fake(THREE, before=lambda server: server.looks.extend(looks))
    assert "backing indices" in report.reasons[SHARD]
    assert server.bulks == []


def test_repeat_after_a_rollover_is_recognised(elasticsearch: ElasticsearchServer) -> None:
    """The real server would create it again in the new backing index."""
    dataset = "modeltail.rolled"
    stream = f"logs-{dataset}-default"
    elasticsearch.request("PUT", f"/_index_template/{dataset}", {**index_template(f"{stream}*"), "priority": 998})
    place = {"dataset": dataset, "namespace": "default", "type": "logs"}
    documents = [document(i, data_stream=place) for i in range(3)]
    assert _index(elasticsearch.url, [documents[:2]]).stored == {"elasticsearch": 2}
    elasticsearch.request("POST", f"/{stream}/_rollover")
    report = _index(elasticsearch.url, [documents])
    assert (report.stored, report.duplicates) == ({"elasticsearch": 1}, {"elasticsearch": 2})
    elasticsearch.request("POST", f"/{stream}/_refresh")
    assert elasticsearch.request("GET", f"/{stream}/_count")["count"] == 3


def test_document_newer_than_the_rollover_is_not_looked_up() -> None:
    """What was made after the newest backing index cannot lie in an older one: no request is spent on it."""
    new = document(1, event={"id": record_id(1), "created": "2999-01-01T00:00:00.000Z"})
    old = document(2, event={"id": record_id(2), "created": "2026-01-01T00:00:00.000Z"})

    def rolled(server: FakeElasticsearch) -> None:
        server.rollover(STREAM)
        server.rollover(STREAM)

    _, quick = _with_fake([[new]], before=rolled)
    _, careful = _with_fake([[old]], before=rolled)
    asked = [sum(path.endswith("/_mget") for _, path in server.requests) for server in (quick, careful)]
    assert asked == [0, 1]


def test_key_that_cannot_be_had_is_asked_for_once_an_invocation() -> None:
    """However many data streams wait for it; each record comes again."""
    asked: list[None] = []

    def authorization() -> str:
        asked.append(None)
        raise NoKey("no key today")

    index = Index("http://127.0.0.1:1", authorization, max_bytes=1000, timeout_secs=2)
    streams = [{"dataset": f"modeltail.{name}", "namespace": "default"} for name in ("a", "b", "c")]
    records = [record(gzipped([document(i, data_stream=place)]), i) for i, place in enumerate(streams)]
    for _ in range(2):
        report = consume(event_of("stream", SHARD, records), [index], None, time.monotonic() + 60, 1)
        assert (report.failed, report.reasons) == ({SHARD: str(FIRST_SEQUENCE)}, {SHARD: "no key today"})
    assert len(asked) == 2


def test_key_that_was_changed_is_read_again() -> None:
    """A process of the function outlives a change of the secret."""
    report, server = _with_fake(THREE, old_keys=["ApiKey old"])
    assert report.failed == {}
    assert _ids(server) == THEIR_IDS
