"""What the output makes of every kind of answer, and of none, from a fake that misbehaves on cue."""

import asyncio
import base64
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.elasticsearch import doubt
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.dialect import elasticsearch
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from agent.outputs.http_client.connection import Answer
from agent.outputs.http_client.refusal import LARGE_BYTES
from tests.fakes.batches import STREAM, batch_of, document
from tests.fakes.elasticsearch import BeforeReading, FakeElasticsearch, Fault
from tests.fakes.faults import (
    answers,
    calls_it,
    drips,
    fails_items,
    fails_items_it_took,
    forgets_item,
    hangs_up,
    hangs_up_while_reading,
    refuses,
    reorders_items,
    restarts,
    rolls_over,
    says_nothing,
    stores_failures,
)

NAME = f"logs-{STREAM}"


DEEP = b'{"error":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
"""More levels than anything here follows."""


def config(server: FakeElasticsearch, **settings: Any) -> ElasticsearchConfig:
    """A configuration for the fake."""
    return ElasticsearchConfig(**{"id": "es", "hosts": [server.url], **settings})


def three() -> DeliveryBatch:
    """A batch of three good records."""
    return batch_of([document(0), document(1), document(2)])


def send_to(
    fault: Fault | BeforeReading | None, batch: DeliveryBatch | None = None, /, **settings: Any
) -> tuple[Outcome | SendError, FakeElasticsearch]:
    """What became of one batch when the fake behaves so, and the fake."""

    async def play() -> tuple[Outcome | SendError, FakeElasticsearch]:
        fake = FakeElasticsearch(pipelines=frozenset({"a b/c"}))
        async with fake as server, ElasticsearchOutput(config(server, **settings)) as output:
            if fault is not None:
                server.faults.append(fault)
            try:
                return await output.send(batch or three()), server
            except SendError as error:
                return error, server

    return asyncio.run(play())


def play(server: FakeElasticsearch, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a story while the server is up."""

    async def run() -> None:
        async with server:
            await story()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (refuses(400, "malformed action"), Refused),
        (refuses(401), Paused),
        (refuses(402), Paused),
        (refuses(403), Paused),
        (refuses(404), Paused),
        (refuses(405), Paused),
        (refuses(406), Paused),
        (refuses(407), Paused),
        (refuses(408), NoAnswer),
        (refuses(413), TooLarge),
        (refuses(415), Paused),
        (refuses(429, "rejected execution"), Retryable),
        (refuses(500), NoAnswer),
        (refuses(502), NoAnswer),
        (refuses(503), NoAnswer),
        (refuses(504), NoAnswer),
        (refuses(301, location="http://127.0.0.1:1/"), Paused),
        (refuses(307, location="http://127.0.0.1:1/"), Paused),
        (answers(200, b"<html>welcome to the hotel</html>"), NoAnswer),
        (answers(200, b"", "application/json"), NoAnswer),
        (answers(200, b'{"errors":false}', "application/json"), NoAnswer),
        (answers(200, b'{"errors":false,"items":[{"create":{"sta', "application/json"), NoAnswer),
        (answers(200, b"\xff\xfe", "application/json"), NoAnswer),
        (answers(200, DEEP, "application/json"), NoAnswer),
        (answers(400, DEEP, "application/json"), Refused),
        (answers(502, b"<html>Bad gateway</html>"), NoAnswer),
        (forgets_item(), NoAnswer),
        (reorders_items({1: 400}), NoAnswer),
        (drips(0.001), Outcome),
        (calls_it("text/html"), Outcome),
        (rolls_over(taken_before=0.5), Outcome),
        (restarts(taken=True), NoAnswer),
        (hangs_up_while_reading(), NoAnswer),
        (hangs_up(taken=False), NoAnswer),
        (hangs_up(taken=True), NoAnswer),
        (hangs_up(taken=True, half_answered=True), NoAnswer),
    ],
)
def test_trouble_with_the_whole_request(fault: Fault, expected: type[SendError]) -> None:
    """Each kind of trouble is the error that delivery reacts to rightly, and exactly that one."""
    outcome, _ = send_to(fault)
    assert type(outcome) is expected


@pytest.mark.parametrize(("size", "expected"), [(LARGE_BYTES + 1000, CutOff), (LARGE_BYTES // 4, NoAnswer)])
def test_a_connection_cut_under_a_large_body_may_mean_its_size(size: int, expected: type[SendError]) -> None:
    """A server that takes small requests and breaks the connection under a large one may refuse it for its size; a
    small body is never suspected."""
    large = batch_of([document(0, fields={"noise": os.urandom(size).hex()})])  # compresses to about ``size``
    outcome, _ = send_to(hangs_up_while_reading(after_bytes=1000), large)
    assert type(outcome) is expected


@pytest.mark.parametrize("status", [200, 404])
def test_answer_nested_beyond_all_bounds_pauses(status: int) -> None:
    """To any other question than a bulk request. No record is to blame, and delivery goes on."""
    spoken = elasticsearch(ElasticsearchConfig(hosts=["http://127.0.0.1:9"]))
    with pytest.raises(Paused):
        spoken.decoded(Answer(status, {}, DEEP), doubt.read_creation_dates)


def test_a_connection_cut_by_a_server_that_goes_away_means_nothing() -> None:
    """When small requests are not answered either, the body is not suspected."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            await output.setup()
            await output.send(three())
            server.faults.append(hangs_up(taken=False))
            server.looks.append(503)
            with pytest.raises(NoAnswer) as raised:
                await output.send(batch_of([document(0, fields={"noise": os.urandom(LARGE_BYTES).hex()})]))
            assert type(raised.value) is NoAnswer

    play(server, story)


def test_a_slow_drip_beyond_the_time_limit_is_no_answer() -> None:
    """A byte now and then does not keep a request alive: the limit is for the whole answer."""
    outcome, _ = send_to(drips(0.1), request_timeout=0.3)
    assert type(outcome) is NoAnswer


def test_what_an_item_says_after_a_503_is_in_doubt() -> None:
    """A record that a copy did not confirm may be there: after a rollover it is looked for, and not doubled."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = three()
            server.faults.append(fails_items_it_took({1: 503}))
            outcome = await output.send(batch)
            assert outcome == Outcome(retry=[1], in_doubt=True)
            server.rollover(NAME)
            rest = batch.subset(outcome.retry)
            rest.in_doubt = True
            assert await output.send(rest) == Outcome(duplicates=1)
            assert len(server.documents(NAME)) == 3

    play(server, story)


def test_a_batch_taken_half_before_and_half_after_a_rollover_is_there_once() -> None:
    """Part of it lies in the old index, part in the new, and there was no answer: each part is recognised where it
    is."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = batch_of([document(n) for n in range(10)])
            server.faults.append(rolls_over(taken_before=0.5, then=hangs_up(taken=True)))
            with pytest.raises(NoAnswer):
                await output.send(batch)
            batch.in_doubt = True
            assert await output.send(batch) == Outcome(duplicates=10)
            assert len(server.documents(NAME)) == 10

    play(server, story)


def test_a_rollover_between_the_look_and_the_request_leaves_no_double() -> None:
    """What this process sent before is found in the newest index too, before it is rolled over."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = three()
            server.faults += [hangs_up(taken=True), rolls_over()]
            with pytest.raises(NoAnswer):
                await output.send(batch)
            batch.in_doubt, batch.attempt = True, 2
            assert await output.send(batch) == Outcome(duplicates=3)
            assert len(server.documents(NAME)) == 3

    play(server, story)


def test_an_output_without_rights_recovers_by_itself() -> None:
    """A refusal that a person mends at the server is over with the next attempt; nothing was lost meanwhile."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = three()
            server.faults += [refuses(401), refuses(403)]
            for _ in range(2):
                with pytest.raises(Paused):
                    await output.send(batch)
            assert await output.send(batch) == Outcome()

    play(server, story)


def test_silence_is_no_answer() -> None:
    """A server that takes the records and says nothing leaves them in doubt when the time is over."""
    outcome, _ = send_to(says_nothing(taken=True), request_timeout=0.2)
    assert type(outcome) is NoAnswer


def test_nobody_listening_is_retryable_without_doubt() -> None:
    """A refused connection has certainly not delivered anything."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome, _ = send_to(None, hosts=[f"http://127.0.0.1:{unused.getsockname()[1]}"])
    assert type(outcome) is Retryable


def test_overload_says_when_to_come_back() -> None:
    """A 429 counts as overload and hands on the server's own wish."""
    outcome, _ = send_to(refuses(429, "rejected execution", retry_after="7"))
    assert isinstance(outcome, Retryable)
    assert (outcome.overloaded, outcome.retry_after_secs) == (True, 7.0)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({1: 409}, Outcome(duplicates=1)),
        ({0: 429}, Outcome(retry=[0], overloaded=True)),
        ({2: 503, 0: 500}, Outcome(retry=[0, 2], in_doubt=True)),
        ({1: 400}, Outcome(rejected={1: "some_exception: because"})),
        ({1: 413}, Outcome(too_large={1: "some_exception: because"})),
        ({1: 403}, Outcome(retry=[1])),
        ({1: 404}, Outcome(retry=[1])),
        (
            {0: 400, 1: 409, 2: 429},
            Outcome(duplicates=1, retry=[2], rejected={0: "some_exception: because"}, overloaded=True),
        ),
    ],
)
def test_each_item_has_its_own_outcome(items: dict[int, int], expected: Outcome) -> None:
    """Items are told apart by their status, each by its place in the batch."""
    outcome, _ = send_to(fails_items(items, "some_exception"))
    assert outcome == expected


@pytest.mark.parametrize("status", [403, 404])
def test_items_that_all_wait_for_a_person_pause(status: int) -> None:
    """When no record may be written the output pauses; none is dead-lettered for it."""
    outcome, _ = send_to(fails_items(dict.fromkeys(range(3), status)))
    assert type(outcome) is Paused


def test_a_missing_pipeline_pauses() -> None:
    """A pipeline that does not exist refuses every record with 400; no record is to blame."""
    fault = fails_items(
        dict.fromkeys(range(3), 400), "illegal_argument_exception", "pipeline with id [p] does not exist"
    )
    outcome, _ = send_to(fault)
    assert type(outcome) is Paused


def test_the_failure_store_is_counted_behind_a_clean_answer() -> None:
    """``errors: false`` does not hide that a record went to the failure store."""
    outcome, _ = send_to(stores_failures({1}))
    assert outcome == Outcome(failure_store=1)


def test_the_template_is_installed_once_and_first() -> None:
    """The first batch of a stream installs the template; later ones, also several at once, do not ask again."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            await asyncio.gather(*(output.send(three()) for _ in range(4)))
            await output.send(three())
        asked = [path for _, path in server.requests if not path.endswith("_bulk")]
        assert asked == [
            f"/_index_template/_simulate_index/{NAME}",
            "/_index_template/logs-modeltail",
            "/_index_template/logs-modeltail",
            f"/_index_template/_simulate_index/{NAME}",
        ]
        assert len(server.bulks) == 5

    play(server, story)


def test_a_template_that_vanished_is_installed_again() -> None:
    """After a pause the template is looked at anew, so a server that was emptied is made ready without a restart."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            await output.send(three())
            server.templates.clear()
            server.streams.clear()
            with pytest.raises(Paused):
                await output.send(three())
            await output.send(three())
            assert len(server.documents(NAME)) == 3

    play(server, story)


def test_requests_are_bulk_creates_into_a_data_stream() -> None:
    """The request asks for a data stream, is gzip, goes through the pipeline, and carries the further headers."""
    outcome, server = send_to(None, pipeline="a b/c", headers={"X-Tenant": "t1"})
    assert outcome == Outcome()
    (bulk,) = server.bulks
    assert bulk.query["require_data_stream"] == "true"
    assert bulk.query["pipeline"] == "a b/c"
    assert bulk.headers["content-encoding"] == "gzip"
    assert bulk.headers["content-type"] == "application/x-ndjson"
    assert bulk.headers["x-tenant"] == "t1"
    assert {operation.action for operation in bulk.operations} == {"create"}


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"username": "u", "password": "p:w"}, "Basic " + base64.b64encode(b"u:p:w").decode()),
        ({"api_key": "aWQ6a2V5"}, "ApiKey aWQ6a2V5"),
        ({"api_key": "id:key"}, "ApiKey aWQ6a2V5"),
    ],
)
def test_credentials_go_with_every_request(settings: dict[str, str], header: str) -> None:
    """Basic authentication and API keys in both forms open the door; without them the sentence says what is wrong."""
    server = FakeElasticsearch(authorization=header)

    async def story() -> None:
        async with ElasticsearchOutput(config(server, **settings)) as output:
            assert await output.send(three()) == Outcome()
        async with ElasticsearchOutput(config(server, api_key="wrong")) as output:
            assert "wrong credentials" in (await output.check())[0]
            with pytest.raises(Paused, match="wrong credentials"):
                await output.send(three())

    play(server, story)


def test_a_path_prefix_is_kept() -> None:
    """Everything is asked for under the prefix of the host's address."""
    server = FakeElasticsearch(prefix="/search/es")

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            assert await output.send(three()) == Outcome()
            assert await output.check() == []

    play(server, story)


def test_a_proxy_is_gone_through() -> None:
    """With a proxy the host's name is the proxy's to look up."""
    server = FakeElasticsearch()  # a forward proxy receives the whole address, which the fake takes like a path

    async def story() -> None:
        proxied = config(server, hosts=["http://es.invalid:9200"], proxy=server.url.replace("//", "//user:pw@"))
        async with ElasticsearchOutput(proxied) as output:
            assert await output.send(three()) == Outcome()
        (bulk,) = server.bulks
        assert bulk.headers["host"] == "es.invalid:9200"
        assert bulk.headers["proxy-authorization"].startswith("Basic ")

    play(server, story)


def test_another_host_takes_over() -> None:
    """When one host does not answer the next attempts go to another."""
    server = FakeElasticsearch()

    async def story() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            hosts = [f"http://127.0.0.1:{unused.getsockname()[1]}", server.url]
            async with ElasticsearchOutput(config(server, hosts=hosts)) as output:
                failures = 0
                for _ in range(10):
                    try:
                        await output.send(three())
                    except Retryable:
                        failures += 1
        assert failures <= 1

    play(server, story)


@pytest.mark.parametrize("status", [413, 429])
def test_a_host_that_says_too_much_is_not_left_out(status: int) -> None:
    """413 and 429 are answers of a healthy host: with two hosts both go on being asked."""
    first, second = FakeElasticsearch(), FakeElasticsearch()

    async def story() -> None:
        async with second, ElasticsearchOutput(config(first, hosts=[first.url, second.url])) as output:
            for server in (first, second):
                async with ElasticsearchOutput(config(server)) as installer:
                    await installer.setup()
            await output.send(three())
            for server in (first, second):
                server.bulks.clear()
                server.faults.extend(refuses(status, "too much") for _ in range(4))
            for _ in range(8):
                with pytest.raises(SendError):
                    await output.send(three())
            assert (len(first.bulks), len(second.bulks)) == (4, 4)

    play(first, story)


def test_a_lost_answer_then_a_rollover_leaves_each_record_once() -> None:
    """The whole story: taken but not answered, rolled over, sent again in doubt."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = three()
            server.faults.append(hangs_up(taken=True))
            with pytest.raises(NoAnswer):
                await output.send(batch)
            server.rollover(NAME)
            batch.in_doubt = True
            assert await output.send(batch) == Outcome(duplicates=3)
            assert sorted(record for record, _ in server.documents(NAME)) == sorted(batch.ids())
            assert len(server.bulks) == 1

    play(server, story)


@pytest.mark.parametrize("namespace", ["a%2Fb", "a/b?c#d", "ä b&c=d+e"])
def test_a_name_that_has_to_be_quoted_is_the_same_in_every_request(namespace: str) -> None:
    """For sending as for looking up what is in doubt: a namespace from a bucket may be anything."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            batch = batch_of([document(0), document(1)], stream=f"modeltail.inference-{namespace}")
            server.faults.append(hangs_up(taken=True))
            with pytest.raises(NoAnswer):
                await output.send(batch)
            name = f"logs-modeltail.inference-{namespace}"
            server.rollover(name)
            batch.in_doubt = True
            assert await output.send(batch) == Outcome(duplicates=2)
            assert sorted(record for record, _ in server.documents(name)) == sorted(batch.ids())

    play(server, story)


def test_data_streams_may_have_names_of_their_own() -> None:
    """The configured form names the stream, and the template covers exactly that."""
    server = FakeElasticsearch()

    async def story() -> None:
        async with ElasticsearchOutput(config(server, data_stream="models-{namespace}")) as output:
            await output.send(three())
        assert len(server.documents("models-default")) == 3
        assert server.templates["models"]["index_patterns"] == ["models-*"]

    play(server, story)


def test_missing_privileges_are_named() -> None:
    """The check says which privileges the user lacks, and on what."""
    server = FakeElasticsearch(privileges={"create_doc": False, "manage_index_templates": False})

    async def story() -> None:
        async with ElasticsearchOutput(config(server)) as output:
            await output.setup()
            (problem,) = await output.check()
        assert problem == f"the user writer lacks the privileges create_doc, manage_index_templates on {NAME}"

    play(server, story)


def test_a_cloud_id_names_the_host() -> None:
    """The address inside a cloud id is where the output goes, and a broken one is said to be so."""
    parts = base64.b64encode(b"region.invalid:9243$uuid$kibana").decode()
    outcome, _ = send_to(None, hosts=[], cloud_id=f"name:{parts}", connect_timeout=0.5)
    assert isinstance(outcome, Retryable)
    assert "uuid.region.invalid:9243" in str(outcome)
    outcome, _ = send_to(None, hosts=[], cloud_id="name:***")
    assert isinstance(outcome, Paused)
