"""The output ``kafka`` against a real broker, with a relay in between that does harm."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.errors import NoAnswer, Paused, Retryable
from agent.outputs.kafka import session
from agent.outputs.kafka.config import KafkaConfig
from agent.outputs.kafka.output import KafkaOutput
from tests.contract.destinations.kafka import KafkaDestination
from tests.fakes.batches import batch_of, document
from tests.fakes.certificates import make_certificates
from tests.servers.kafka import PASSWORD, USER, make_topic
from tests.servers.process import free_port

ALL_TAKEN = Outcome()
MODEL = {"ml": {"model": {"name": "fraud-scorer", "version": "3.2.0"}}}


@pytest.fixture
def talk(tmp_path: Path) -> Callable[[Callable[[KafkaDestination], Coroutine[Any, Any, None]]], None]:
    """Runs a conversation with a topic of its own."""

    def run(conversation: Callable[[KafkaDestination], Coroutine[Any, Any, None]]) -> None:
        async def all_of_it() -> None:
            async with KafkaDestination(tmp_path) as kafka:
                await conversation(kafka)

        asyncio.run(all_of_it())

    return run


Talk = Callable[[Callable[[KafkaDestination], Coroutine[Any, Any, None]]], None]


@pytest.fixture(autouse=True)
def client_is_heard_anew() -> Iterator[None]:
    """The client's log as it was before the output took it over."""
    yield
    logger = logging.getLogger("aiokafka")
    logger.propagate = True
    logger.handlers.clear()


def a_batch(first: int, last: int, **fields: object) -> Any:
    """Numbered documents of one model."""
    return batch_of([document(n, **MODEL, **fields) for n in range(first, last)])


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_documents_arrive_as_they_are_with_id_and_model_beside_them(talk: Talk, compression: str) -> None:
    """Not a byte differs, and a consumer needs no JSON to tell records apart. The broker itself unpacks and repacks
    them here, so that what it takes is what any consumer takes."""

    async def conversation(kafka: KafkaDestination) -> None:
        topic = f"{kafka.topic}-repacked"
        await make_topic(kafka.server.address, topic, compression_type="gzip")
        kafka.topic = topic
        batch = a_batch(0, 300, odd="1.1099999999999999")
        async with kafka.output(compression=compression) as output:
            assert await output.send(batch) == ALL_TAKEN
        assert await kafka.documents() == dict(zip(batch.ids(), batch.documents(), strict=True))
        for record in await kafka.records():
            assert dict(record.headers).keys() == {"event.id", "ml.model.name", "ml.model.version"}
            assert dict(record.headers)["ml.model.version"] == b"3.2.0"

    talk(conversation)


def test_records_of_one_key_lie_in_one_partition_in_their_order(talk: Talk) -> None:
    """Which one, the key decides as it does for every other client: this is where Java's puts it."""

    async def conversation(kafka: KafkaDestination) -> None:
        documents = [document(n, labels={"who": f"user-{n % 7}"}) for n in range(700)]
        async with kafka.output(key="field:labels.who") as output:
            for start in (0, 350):
                assert await output.send(batch_of(documents[start : start + 350])) == ALL_TAKEN
        from aiokafka.partitioner import DefaultPartitioner

        found: dict[bytes, list[bytes]] = {}
        for record in await kafka.records():
            assert record.partition == DefaultPartitioner()(record.key, [0, 1, 2], [0, 1, 2])
            found.setdefault(record.key, []).append(record.value)
        assert found == {f"user-{n}".encode(): documents[n::7] for n in range(7)}

    talk(conversation)


def test_without_keys_batches_take_partitions_by_turns(talk: Talk) -> None:
    """Each batch lies in one partition, whole."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output(key="none") as output:
            for _ in range(6):
                assert await output.send(a_batch(0, 10)) == ALL_TAKEN
        partitions = [record.partition for record in await kafka.records()]
        assert partitions == [0] * 20 + [1] * 20 + [2] * 20

    talk(conversation)


def test_lost_answer_doubles_nothing(talk: Talk) -> None:
    """The repeat has the same sequence number, and the broker knows it: three lost answers, each record once."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output() as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            kafka.relay.lose_answers = 3
            assert await output.send(a_batch(10, 1000)) == ALL_TAKEN
            assert await output.send(a_batch(1000, 1010)) == ALL_TAKEN
        assert kafka.relay.lose_answers == 0
        received = await kafka.received()
        assert len(received) == len(set(received)) == 1010

    talk(conversation)


def test_answer_that_speaks_of_no_partition_is_no_answer(talk: Talk) -> None:
    """The request is repeated, and the broker knows it."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output() as output:
            kafka.relay.hollow_answers = 1
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
        assert kafka.relay.hollow_answers == 0
        assert len(await kafka.received()) == 10

    talk(conversation)


def test_broker_that_goes_away_in_mid_request_doubles_nothing(talk: Talk) -> None:
    """The request is repeated until the broker is back."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output() as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            kafka.relay.swallow = True
            sending = asyncio.create_task(output.send(a_batch(10, 500)))
            await kafka.relay.swallowed.wait()
            await kafka.go_away()
            kafka.relay.swallow = False
            await kafka.come_back()
            assert await sending == ALL_TAKEN
        received = await kafka.received()
        assert len(received) == len(set(received)) == 500

    talk(conversation)


def test_client_that_has_stopped_asking_who_leads_holds_up_nothing(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that the client did not foresee ends its own task for that. What is in doubt is settled all the same,
    and what comes next has a new session."""

    async def unforeseen(*_: object) -> bool:
        raise RuntimeError("the handler is closed")

    async def conversation(kafka: KafkaDestination) -> None:
        async with KafkaOutput(kafka.config()) as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            first = output._session
            assert first is not None
            monkeypatch.setattr(first._client, "_metadata_update", unforeseen)
            kafka.lose_answer()
            assert await output.send(a_batch(10, 20)) == ALL_TAKEN
            assert await output.send(a_batch(20, 30)) == ALL_TAKEN
            assert output._session is not first
        received = await kafka.received()
        assert len(received) == len(set(received)) == 30

    monkeypatch.setattr(session, "METADATA_SECS", 0.3)
    talk(conversation)


def test_client_that_does_not_hear_that_it_is_to_end_holds_up_nothing(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to Python 3.11 ``asyncio.wait_for`` forgets that it was cancelled when its answer comes in that moment: the
    client's own task then goes on, and closing the client waits for it for ever."""

    async def conversation(kafka: KafkaDestination) -> None:
        answer = asyncio.get_running_loop().create_future()

        async def answered_just_then(*_: object) -> bool:
            return bool(await asyncio.wait_for(answer, 60))

        async with KafkaOutput(kafka.config()) as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            first, output._session = output._session, None
            assert first is not None
            monkeypatch.setattr(first._client, "_metadata_update", answered_just_then)
            first._client.force_metadata_update()
            for _ in range(5):
                await asyncio.sleep(0)  # it waits for its answer now
            closing = asyncio.create_task(first.close())
            answer.set_result(True)
            done, _ = await asyncio.wait([closing], timeout=10)
            closing.cancel()
            assert done

    talk(conversation)


@pytest.mark.parametrize("seed", range(2))
def test_storm_of_faults_leaves_each_record_once(talk: Talk, seed: int) -> None:
    """Four batches on their way at a time, answers lost and the broker away again and again: what was refused for
    certain is sent again by us, what was in doubt by the session, and nothing is there twice."""

    async def conversation(kafka: KafkaDestination) -> None:
        rng = random.Random(seed)
        slots = asyncio.Semaphore(4)

        async def deliver(output: Output, batch: DeliveryBatch) -> None:
            async with slots:
                while batch.count:
                    try:
                        outcome = await output.send(batch)
                    except NoAnswer:
                        raise  # only after ``delivery_timeout``
                    except Retryable:
                        await asyncio.sleep(0.05)
                    else:
                        batch = batch.subset(outcome.retry)

        async def harm() -> None:
            for _ in range(20):
                await asyncio.sleep(rng.uniform(0, 0.1))
                kafka.lose_answer()
                if rng.random() < 0.3:
                    await kafka.go_away()
                    await asyncio.sleep(rng.uniform(0, 0.2))
                    await kafka.come_back()

        async with (
            kafka.output(key="field:message") as output,
            asyncio.timeout(60),
            asyncio.TaskGroup() as deliveries,
        ):
            deliveries.create_task(harm())
            for first in range(0, 4000, 100):
                deliveries.create_task(deliver(output, a_batch(first, first + 100)))
        received = await kafka.received()
        assert len(received) == len(set(received)) == 4000

    talk(conversation)


def test_request_given_up_is_in_doubt_and_never_sent_behind_our_back(talk: Talk) -> None:
    """After ``delivery_timeout`` nobody knows; what comes next is of a new producer, and the old one is silent."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output(delivery_timeout=0.3) as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            kafka.relay.swallow = True
            with pytest.raises(NoAnswer):
                await output.send(a_batch(10, 20))
            kafka.relay.swallow = False
            before = kafka.relay.appends
            again = a_batch(20, 30)
            while True:
                try:
                    assert await output.send(again) == ALL_TAKEN
                    break
                except Retryable:
                    await asyncio.sleep(0.05)
            assert kafka.relay.appends == before + 1
        received = await kafka.received()
        assert len(received) == len(set(received)) == 20

    talk(conversation)


def test_what_lies_in_our_buffers_is_thrown_away_when_a_request_is_given_up(talk: Talk) -> None:
    """A broker that has stopped reading gets no stale record when it goes on, and giving up does not wait for it."""

    async def conversation(kafka: KafkaDestination) -> None:
        kafka.topic += "-large"
        await make_topic(kafka.server.address, kafka.topic, partitions=1, max_message_bytes="33554432")
        async with kafka.output(delivery_timeout=0.5, compression="none") as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            kafka.relay.reads.clear()
            assert await output.send(a_batch(10, 20)) == ALL_TAKEN  # the relay was waiting for this one already
            async with asyncio.timeout(20):
                with pytest.raises(NoAnswer):
                    await output.send(batch_of([document(20, filler="x" * 16 * 1024**2)]))
            kafka.relay.reads.set()
        await kafka.relay.all_gone()
        assert kafka.relay.appends == 2

    talk(conversation)


def test_request_that_takes_too_long_is_never_sent_to_its_end(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is given up, and what lay in its buffer is not sent when the broker reads on: by then the records
    may have gone under other numbers."""

    async def conversation(kafka: KafkaDestination) -> None:
        kafka.topic += "-large"
        await make_topic(kafka.server.address, kafka.topic, partitions=1, max_message_bytes="33554432")
        async with asyncio.timeout(40), kafka.output(request_timeout=2, compression="none") as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            kafka.relay.reads.clear()
            assert await output.send(a_batch(10, 20)) == ALL_TAKEN  # the relay was waiting for this one already
            monkeypatch.setattr(session.Session, "_look_again", look_again)
            sending = asyncio.create_task(output.send(batch_of([document(20, filler="x" * 16 * 1024**2)])))
            await repeats.wait()
            sending.cancel()
            await asyncio.wait([sending])
        kafka.relay.reads.set()
        await kafka.relay.all_gone()
        assert kafka.relay.appends == 2

    repeats = asyncio.Event()

    async def look_again(_: object) -> bool:
        repeats.set()
        return await asyncio.Event().wait()

    talk(conversation)


def test_request_given_up_that_had_arrived_is_there_twice_with_one_id(talk: Talk) -> None:
    """Kafka's promise ends with the producer's session; the id is what consumers know the repeat by."""

    async def conversation(kafka: KafkaDestination) -> None:
        batch = a_batch(0, 10)
        async with kafka.output(delivery_timeout=0.3) as output:
            kafka.relay.lose_answers = 1_000_000
            with pytest.raises(NoAnswer):
                await output.send(batch)
            kafka.relay.lose_answers = 0
            while True:
                try:
                    assert await output.send(batch) == ALL_TAKEN
                    break
                except Retryable:
                    await asyncio.sleep(0.05)
        received = await kafka.received()
        assert sorted(received) == sorted(batch.ids() * 2)

    talk(conversation)


def test_stop_in_mid_request_ends_at_once(talk: Talk) -> None:
    """Cancelling waits for no broker, and leaves nothing running."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output() as output:
            kafka.relay.swallow = True
            sending = asyncio.create_task(output.send(a_batch(0, 10)))
            await kafka.relay.swallowed.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        assert await kafka.received() == []

    talk(conversation)


def test_record_larger_than_the_topic_takes_holds_up_no_other(talk: Talk) -> None:
    """A record batch that is too large is halved until the culprit is alone; the session stays good."""

    async def conversation(kafka: KafkaDestination) -> None:
        kafka.topic += "-small"
        await make_topic(kafka.server.address, kafka.topic, partitions=1, max_message_bytes="20000")
        documents = [document(n, filler="x" * 5_000) for n in range(20)]
        documents[7] = document(7, filler="y" * 30_000)
        batch = batch_of(documents)
        async with kafka.output(compression="none") as output:
            outcome = await output.send(batch)
            assert outcome.too_large.keys() == {7}
            assert "MESSAGE_TOO_LARGE" in outcome.too_large[7]
            assert outcome == Outcome(too_large=outcome.too_large)
            assert await output.send(a_batch(20, 30)) == ALL_TAKEN
        values = [record.value for record in await kafka.records()]
        assert values == [d for n, d in enumerate(documents) if n != 7] + a_batch(20, 30).documents()

    talk(conversation)


def test_missing_topic_pauses_until_it_is_made(talk: Talk) -> None:
    """Nothing is lost: the same batch goes when the topic is there."""

    async def conversation(kafka: KafkaDestination) -> None:
        kafka.topic += "-missing"
        async with kafka.output() as output:
            (problem,) = await output.check()
            assert f"there is no topic {kafka.topic}" in problem
            with pytest.raises(Paused, match="there is no topic"):
                await output.send(a_batch(0, 10))
            await make_topic(kafka.server.address, kafka.topic)
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
            assert await output.check() == []

    talk(conversation)


def test_compacted_topic_without_keys_pauses(talk: Talk) -> None:
    """No record is to blame for what the topic is set to."""

    async def conversation(kafka: KafkaDestination) -> None:
        kafka.topic += "-compacted"
        await make_topic(kafka.server.address, kafka.topic, cleanup_policy="compact")
        async with kafka.output(key="none") as output:
            with pytest.raises(Paused, match="compacted"):
                await output.send(a_batch(0, 10))

    talk(conversation)


@pytest.mark.parametrize("sasl", ["plain", "scram-sha-256"])
def test_password_decides(talk: Talk, sasl: str) -> None:
    """A wrong one pauses, and is not said aloud."""

    async def conversation(kafka: KafkaDestination) -> None:
        settings = {"bootstrap": [kafka.server.sasl_address], "sasl": sasl, "username": USER}
        async with kafka.output(**settings, password=PASSWORD) as output:
            assert await output.check() == []
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
        async with kafka.output(**settings, password=PASSWORD[::-1]) as output:
            with pytest.raises(Paused, match="does not accept who we are") as told:
                await output.send(a_batch(0, 10))
            assert PASSWORD[::-1] not in str(told.value)

    talk(conversation)


def test_mechanism_that_brokers_do_not_offer_pauses(talk: Talk) -> None:
    """It is a setting."""

    async def conversation(kafka: KafkaDestination) -> None:
        settings = {"bootstrap": [kafka.server.sasl_address], "username": USER, "password": PASSWORD}
        async with kafka.output(**settings, sasl="scram-sha-512") as output:
            with pytest.raises(Paused, match="does not offer the mechanism"):
                await output.send(a_batch(0, 10))

    talk(conversation)


def test_tls_is_spoken_with_whom_the_authority_vouches_for(talk: Talk, tmp_path: Path) -> None:
    """Another's certificate pauses, and no record has gone out."""

    async def conversation(kafka: KafkaDestination) -> None:
        certificates = make_certificates(tmp_path / "tls")
        await kafka.go_away()
        kafka.relay.tls = certificates.server_context()
        await kafka.come_back()
        async with kafka.output(tls=True, ca_file=str(certificates.authority)) as output:
            assert await output.send(a_batch(0, 10)) == ALL_TAKEN
        async with kafka.output(tls=True) as output:
            with pytest.raises(Paused, match="certificate"):
                await output.send(a_batch(10, 20))
        assert len(await kafka.received()) == 10

    talk(conversation)


def test_tls_where_none_is_spoken_pauses(talk: Talk) -> None:
    """A setting, not an outage."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output(bootstrap=[kafka.server.address], tls=True) as output:
            with pytest.raises((Paused, Retryable), match=kafka.server.address):
                await output.send(a_batch(0, 10))

    talk(conversation)


def test_nobody_there_is_an_outage() -> None:
    """It can be retried at once, and says where nobody is."""

    async def conversation() -> None:
        port = free_port()
        async with KafkaOutput(KafkaConfig(bootstrap=[f"127.0.0.1:{port}"], topic="any")) as output:
            with pytest.raises(Retryable, match=str(port)) as told:
                await output.send(a_batch(0, 10))
            assert not isinstance(told.value, NoAnswer)
            (problem,) = await output.check()
            assert str(port) in problem

    asyncio.run(conversation())


def test_check_says_that_the_broker_has_gone_away(talk: Talk) -> None:
    """As a sentence, also when it was there a moment before."""

    async def conversation(kafka: KafkaDestination) -> None:
        async with kafka.output() as output:
            assert await output.check() == []
            await kafka.go_away()
            (problem,) = await output.check()
            assert f"no broker says whether there is a topic {kafka.topic}" in problem

    talk(conversation)


def test_outage_is_one_line_in_ten_seconds(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    """What the client says of it comes as one constant sentence, which our log holds back when it repeats."""

    async def conversation(kafka: KafkaDestination) -> None:
        await kafka.go_away()
        async with kafka.output() as output:
            for _ in range(3):
                with pytest.raises(Retryable):
                    await output.send(a_batch(0, 10))
        assert {record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING} == {
            "The Kafka client has trouble"
        }

    talk(conversation)
