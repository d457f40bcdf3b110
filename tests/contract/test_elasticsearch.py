"""The outputs ``elasticsearch`` and ``opensearch`` against real servers of every supported version, and against the
fake, which so stays honest."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from agent.delivery.contract import DeliveryBatch
from agent.errors import Paused, Refused
from agent.outputs.elasticsearch.output import BulkOutput
from agent.record import RunId, record_id
from tests.contract.clusters import (
    SERVERS,
    Cluster,
    ClusterConfig,
    OpenCluster,
    config_for,
    lookup_of,
    opener,
    output_of,
)
from tests.fakes.batches import STREAM, batch_of, document


@pytest.fixture(params=SERVERS)
def open_cluster(request: pytest.FixtureRequest) -> OpenCluster:
    """Opens the server under test."""
    return opener(request)


def _stream(config: ClusterConfig) -> str:
    return config.data_stream.replace("{dataset}-{namespace}", STREAM)


Story = Callable[[Cluster, ClusterConfig, BulkOutput], Coroutine[Any, Any, None]]


def _play(open_cluster: OpenCluster, story: Story, **settings: Any) -> None:
    """Run a story with a fresh output against the server."""

    async def play() -> None:
        async with open_cluster() as cluster:
            config = config_for(cluster.url, is_opensearch=cluster.is_opensearch, **settings)
            async with output_of(config) as output:
                await story(cluster, config, output)

    asyncio.run(play())


def test_frames_arrive_byte_for_byte(open_cluster: OpenCluster) -> None:
    """Every document of every frame is in the data stream under its id, with the text it was given."""
    odd = document(0, fields={"big": 10**30, "text": "é\u2028\U0001f600", "deep": {"a": [1, {"b": None}]}})
    odd = odd.replace(b'"big":', b'"long":1.10000000000000000000001,"zero":-0.0,"exp":1E+2,"slash":"\\/\\u00e9","big":')

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([odd, document(1)], [document(n) for n in range(2, 500)], [document(500)])
        outcome = await output.send(batch)
        assert (outcome.duplicates, outcome.retry, outcome.rejected) == (0, [], {})
        expected = dict(zip(batch.ids(), batch.documents(), strict=True))
        assert dict(await cluster.documents(_stream(config))) == expected

    _play(open_cluster, story)


def test_a_name_that_has_to_be_quoted_is_one_name(open_cluster: OpenCluster) -> None:
    """Elasticsearch and OpenSearch allow a ``%`` in names. What is sent lies where what is in doubt is looked for, over
    a rollover."""
    form = f"t{os.urandom(6).hex()}%2f50%-{{namespace}}"

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(3)])
        await output.send(batch)
        name = form.replace("{namespace}", "default")
        await cluster.rollover(name)
        batch.in_doubt = True
        assert (await output.send(batch)).duplicates == 3
        assert sorted(record for record, _ in await cluster.documents(name)) == sorted(batch.ids())
        async with lookup_of(config) as lookup:
            assert await lookup.missing(batch.stream, batch.ids()) == []

    _play(open_cluster, story, data_stream=form)


def test_single_documents_arrive_like_frames(open_cluster: OpenCluster) -> None:
    """A batch made of picked records is compressed afresh and arrives the same."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(10)]).subset([7, 2, 5])
        await output.send(batch)
        expected = dict(zip(batch.ids(), batch.documents(), strict=True))
        assert dict(await cluster.documents(_stream(config))) == expected

    _play(open_cluster, story)


def test_a_body_of_megabytes_is_sent(open_cluster: OpenCluster) -> None:
    """A compressed body over 1 MiB goes out without a warning and arrives."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of(
            [document(n, fields={"noise": [os.urandom(10_000).hex() for _ in range(6)]}) for n in range(20)]
        )
        assert sum(map(len, batch.bodies)) > 1024**2
        assert not (await output.send(batch)).rejected
        assert len(await cluster.documents(_stream(config))) == 20

    _play(open_cluster, story)


def test_an_empty_batch_asks_nothing(open_cluster: OpenCluster) -> None:
    """A frame that only moves positions is delivered without a request."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        outcome = await output.send(DeliveryBatch(STREAM, (), ()))
        assert outcome.duplicates == 0
        assert not outcome.retry

    _play(open_cluster, story, setup="never")  # asking anything would pause: there is no template


def test_a_repeat_is_counted_not_stored(open_cluster: OpenCluster) -> None:
    """What is sent twice is there once, and the second answer says so."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(5)])
        await output.send(batch.subset([0, 3]))
        assert (await output.send(batch)).duplicates == 2
        assert len(await cluster.documents(_stream(config))) == 5

    _play(open_cluster, story)


def test_a_refused_record_leaves_its_neighbours_alone(open_cluster: OpenCluster) -> None:
    """One record that Elasticsearch refuses is named with the reason; the others are delivered."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(0), b'{"message":"no time"}', document(2)])
        outcome = await output.send(batch)
        assert list(outcome.rejected) == [1]
        assert "@timestamp" in outcome.rejected[1]
        assert {record for record, _ in await cluster.documents(_stream(config))} == {batch.ids()[0], batch.ids()[2]}

    _play(open_cluster, story)


def test_a_rescued_record_takes_its_own_place(open_cluster: OpenCluster) -> None:
    """A refused record is accepted in its rescued form, under its own id, with the document as it was."""
    refused = b'{"message":"no time","n":1.10}'

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([refused])
        (reason,) = (await output.send(batch)).rejected.values()
        (record,) = batch.ids()
        safe = output.rescue(record, refused, reason)
        outcome = await output.send(DeliveryBatch.of_documents(STREAM, [record], [safe]))
        assert not outcome.rejected
        ((stored, source),) = await cluster.documents(_stream(config))
        assert stored == record
        assert json.loads(source)["event"]["original"] == refused.decode()
        assert "@timestamp" in json.loads(source)["error"]["message"]

    _play(open_cluster, story)


def test_records_in_doubt_are_not_doubled_by_a_rollover(open_cluster: OpenCluster) -> None:
    """What arrived before a rollover, though no answer came, is found there and not sent into the new index."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(6)])
        await output.send(batch.subset([0, 1, 2]))
        await cluster.rollover(_stream(config))
        batch.in_doubt = True
        outcome = await output.send(batch)
        assert outcome.duplicates == 3
        stored = [record for record, _ in await cluster.documents(_stream(config))]
        assert sorted(stored) == sorted(batch.ids())

    _play(open_cluster, story)


def test_indexes_of_records_in_doubt_are_those_of_the_batch(open_cluster: OpenCluster) -> None:
    """When only the rest of a batch is sent, a refusal still names the record by its place in the whole batch."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(0), document(1), b'{"message":"no time"}', document(3)])
        await output.send(batch.subset([0, 1]))
        await cluster.rollover(_stream(config))
        batch.in_doubt = True
        outcome = await output.send(batch)
        assert (outcome.duplicates, list(outcome.rejected)) == (2, [2])

    _play(open_cluster, story)


def test_records_in_doubt_without_rollover_answer_409(open_cluster: OpenCluster) -> None:
    """Within one backing index the repeat is recognised by Elasticsearch itself."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(3)])
        await output.send(batch)
        batch.in_doubt = True
        assert (await output.send(batch)).duplicates == 3
        assert len(await cluster.documents(_stream(config))) == 3

    _play(open_cluster, story)


def test_a_record_there_already_is_refused_for_its_content_first(open_cluster: OpenCluster) -> None:
    """A repeat whose content is refused is a refusal, not a repeat; its rescued form then is the repeat."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(0), document(1)])
        await output.send(batch)
        changed = DeliveryBatch.of_documents(STREAM, batch.ids(), [b'{"message":"no time"}', document(1)])
        outcome = await output.send(changed)
        assert (list(outcome.rejected), outcome.duplicates) == ([0], 1)
        safe = output.rescue(batch.ids()[0], b'{"message":"no time"}', outcome.rejected[0])
        assert (await output.send(DeliveryBatch.of_documents(STREAM, batch.ids()[:1], [safe]))).duplicates == 1
        assert len(await cluster.documents(_stream(config))) == 2

    _play(open_cluster, story)


def test_a_malformed_record_refuses_the_request(open_cluster: OpenCluster) -> None:
    """A document that is two lines breaks the whole body: all of it is refused, and nothing of it is there."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        await output.send(batch_of([document(0)]))
        ids = [record_id(RunId().text, 1, n) for n in range(3)]
        broken = DeliveryBatch.of_documents(STREAM, ids, [document(0), b'{"a":\n1}', document(2)])
        with pytest.raises(Refused):
            await output.send(broken)
        assert len(await cluster.documents(_stream(config))) == 1

    _play(open_cluster, story)


def test_a_missing_pipeline_pauses_the_output(open_cluster: OpenCluster) -> None:
    """No record is refused for it, and the check names it."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        with pytest.raises(Paused, match="does not exist"):
            await output.send(batch_of([document(0), document(1)]))
        assert await output.check() == ["there is no ingest pipeline nowhere"]

    _play(open_cluster, story, pipeline="nowhere")


def test_a_rescued_record_goes_around_the_pipeline(open_cluster: OpenCluster) -> None:
    """Whatever pipeline is configured, the rescued form arrives: it is written as it is."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        (record,) = batch_of([document(0)]).ids()
        batch = DeliveryBatch.of_documents(STREAM, [record], [output.rescue(record, document(0), "because")])
        batch.is_rescued = True
        assert not (await output.send(batch)).rejected
        assert len(await cluster.documents(_stream(config))) == 1

    _play(open_cluster, story, pipeline="nowhere")


def test_records_sent_before_are_found_in_the_newest_index(open_cluster: OpenCluster) -> None:
    """A further attempt of this process finds what arrived before it asks for anything to be created, so that no
    rollover can come in between."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(4)])
        await output.send(batch.subset([1, 2]))
        batch.in_doubt, batch.attempt = True, 2
        assert (await output.send(batch)).duplicates == 2
        assert len(await cluster.documents(_stream(config))) == 4

    _play(open_cluster, story)


def test_a_batch_on_both_sides_of_a_rollover_is_there_once(open_cluster: OpenCluster) -> None:
    """Of a batch in doubt a part lies in the old index, a part in the new one, and a part nowhere yet; the agent was
    restarted meanwhile."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        batch = batch_of([document(n) for n in range(6)])
        await output.send(batch.subset([0, 1]))
        await cluster.rollover(_stream(config))
        await output.send(batch.subset([2, 3]))
        async with output_of(config) as restarted:
            batch.in_doubt = True
            assert (await restarted.send(batch)).duplicates == 4
        assert sorted(record for record, _ in await cluster.documents(_stream(config))) == sorted(batch.ids())

    _play(open_cluster, story)


def test_without_our_template_the_output_pauses_until_setup(open_cluster: OpenCluster) -> None:
    """With ``setup: never`` nothing is sent into a stream that no template of ours covers; ``setup`` mends it."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        (problem,) = await output.check()
        assert "template" in problem
        with pytest.raises(Paused, match="modeltail setup"):
            await output.send(batch_of([document(0)]))
        await output.setup()
        assert await output.check() == []
        await output.send(batch_of([document(0)]))
        assert len(await cluster.documents(_stream(config))) == 1

    _play(open_cluster, story, setup="never")


def test_another_template_above_ours_pauses_the_output(open_cluster: OpenCluster) -> None:
    """A template of someone else's with a higher priority would apply: nothing is sent, and the check says why."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        pattern = config.data_stream.replace("{dataset}-{namespace}", "*")
        await cluster.put_template(
            f"other-{os.urandom(4).hex()}",
            {"index_patterns": [pattern], "priority": 900, "data_stream": {}, "template": {"mappings": {}}},
        )
        with pytest.raises(Paused, match="another index template"):
            await output.send(batch_of([document(0)]))
        assert "not modeltail's" in (await output.check())[0]

    _play(open_cluster, story)


def test_another_template_above_that_of_a_stream_pauses_the_output(open_cluster: OpenCluster) -> None:
    """The same for a data stream that is there already: its next index would be the other's."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        await output.send(batch_of([document(0)]))
        other = {"index_patterns": [_stream(config)], "priority": 900, "data_stream": {}, "template": {"mappings": {}}}
        await cluster.put_template(f"other-{os.urandom(4).hex()}", other)
        assert "not modeltail's" in (await output.check())[0]
        async with output_of(config) as restarted:
            with pytest.raises(Paused, match="another index template"):
                await restarted.send(batch_of([document(1)]))

    _play(open_cluster, story)


def test_a_stream_under_a_lower_template_comes_under_ours(open_cluster: OpenCluster) -> None:
    """A data stream that somebody made before is no problem: our template stands above its."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        lower = {"index_patterns": [_stream(config)], "priority": 7, "data_stream": {}, "template": {"mappings": {}}}
        await cluster.put_template(f"lower-{os.urandom(4).hex()}", lower)
        await cluster.create(_stream(config))
        assert await output.check() == []
        await output.send(batch_of([document(0)]))
        async with output_of(msgspec.structs.replace(config, setup="never")) as never:
            assert await never.check() == []

    _play(open_cluster, story)


def test_a_server_that_only_lacks_our_template_is_ready(open_cluster: OpenCluster) -> None:
    """With ``setup: auto`` a missing template is no problem: the agent installs it. The check itself installs
    nothing."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        assert await output.check() == []
        async with output_of(msgspec.structs.replace(config, setup="never")) as never:
            assert "run `modeltail setup`" in (await never.check())[0]

    _play(open_cluster, story)


def test_a_newer_template_is_left_alone(open_cluster: OpenCluster) -> None:
    """An agent of an older version neither replaces nor minds the template of a newer one."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        pattern = config.data_stream.replace("{dataset}", "modeltail.*").replace("{namespace}", "*")
        newer = {
            "index_patterns": [pattern],
            "priority": 250,
            "data_stream": {},
            "template": {"mappings": {"_meta": {"modeltail_template": 999}}},
        }
        await cluster.put_template(pattern.replace("*", "").strip(".-"), newer)
        await output.setup()
        await output.send(batch_of([document(0)]))
        assert await output.check() == []

    _play(open_cluster, story)


@pytest.mark.parametrize(
    "planted",
    [
        '\n{"delete":{"_id":"ID"}}\n',
        '"}}\n{"index":{"_index":"planted"}}\n{"a":1}\n',
        '\r{"create":{}}\u2028{"x":1}\u0085\u0000',
    ],
)
def test_planted_action_lines_are_not_obeyed(open_cluster: OpenCluster, planted: str) -> None:
    """Values that look like bulk actions once their escapes are read stay values."""

    async def story(cluster: Cluster, config: ClusterConfig, output: BulkOutput) -> None:
        run = RunId().text
        aimed = planted.replace("ID", record_id(run, 0, 0))
        batch = batch_of([document(0), document(1, message=aimed, fields={"k": aimed})], run=run)
        await output.send(batch)
        expected = dict(zip(batch.ids(), batch.documents(), strict=True))
        assert dict(await cluster.documents(_stream(config))) == expected

    _play(open_cluster, story)


@pytest.mark.parametrize("is_opensearch", [True, False])
def test_check_names_the_other_product(request: pytest.FixtureRequest, is_opensearch: bool) -> None:
    """What each says to the other's requests would lead nobody to the wrong ``type``."""
    server = request.getfixturevalue("opensearch" if is_opensearch else "elasticsearch")

    async def play() -> list[str]:
        async with output_of(config_for(server.url, is_opensearch=not is_opensearch)) as output:
            return await output.check()

    (problem,) = asyncio.run(play())
    assert problem.endswith("write `type: opensearch`" if is_opensearch else "write `type: elasticsearch`")
