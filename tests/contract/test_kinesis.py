"""What the delivery loop relies on in the outputs ``kinesis`` and ``firehose``: moto behind a layer of faults."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, Throttled, TooLarge
from agent.outputs.aws.errors import Denied
from agent.outputs.firehose.config import FirehoseConfig
from agent.outputs.firehose.output import FirehoseOutput
from tests.contract.destinations.destination import Destination
from tests.contract.destinations.firehose import Firehose
from tests.contract.destinations.kinesis import Kinesis
from tests.fakes.aws_faults import (
    AwsFaults,
    Fault,
    answers,
    changes_answer,
    fails_records,
    hangs_up,
    says,
    says_nothing,
)
from tests.servers.aws_api import AwsApi
from tests.servers.moto import KEYS, REGION, shared_moto

Side = type[Firehose] | type[Kinesis]
SIDES: list[Side] = [Firehose, Kinesis]
ONE_EACH: dict[Side, dict[str, Any]] = {Firehose: {"record_bytes": 1}, Kinesis: {"aggregation": "none"}}
THROTTLED: dict[Side, str] = {
    Firehose: "ServiceUnavailableException",
    Kinesis: "ProvisionedThroughputExceededException",
}


def batch_of(count: int, text: str = "x") -> DeliveryBatch:
    """A batch of documents with their ids in them."""
    ids = [f"id-{n:05}" for n in range(count)]
    documents = [json.dumps({"event": {"id": i}, "message": text}).encode() for i in ids]
    return DeliveryBatch.of_documents("modeltail.inference-default", ids, documents)


def with_output(side: Side, talk: Callable[[Any, Output], Awaitable[None]], folder: Path, **settings: Any) -> None:
    """Run this with the other end and an output to it."""

    async def run() -> None:
        async with side(folder) as there, there.output(**settings) as output:
            await talk(there, output)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("side", "settings"),
    [
        (Firehose, {}),
        (Firehose, {"record_bytes": 1}),
        (Kinesis, {}),
        (Kinesis, {"aggregation": "kpl"}),
        (Kinesis, {"aggregation": "none"}),
        (Kinesis, {"partition_key": "field:event.id"}),
    ],
)
def test_documents_arrive_byte_for_byte(side: Side, settings: dict[str, Any], tmp_path: Path) -> None:
    """More than one call takes, in every form they can have."""

    async def talk(there: Destination, output: Output) -> None:
        batch = batch_of(1200)
        assert await output.send(batch) == Outcome()
        assert await there.documents() == dict(zip(batch.ids(), batch.documents(), strict=True))
        assert len(await there.received()) == batch.count
        assert await output.check() == []

    with_output(side, talk, tmp_path, **settings)


@pytest.mark.parametrize("side", SIDES)
def test_only_what_was_throttled_is_sent_again(side: Side, tmp_path: Path) -> None:
    """By index, in two calls; the rest is there and not asked for again."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.faults += [fails_records([1, 499], THROTTLED[side]), fails_records([0], THROTTLED[side])]
        batch = batch_of(600)
        outcome = await output.send(batch)
        assert outcome.retry == [1, 499, 500]
        assert outcome.overloaded
        rest = batch.subset(outcome.retry)
        assert await output.send(rest) == Outcome()
        assert sorted(await there.received()) == batch.ids()

    with_output(side, talk, tmp_path, **ONE_EACH[side])


@pytest.mark.parametrize("side", SIDES)
def test_documents_of_a_record_share_its_fate(side: Side, tmp_path: Path) -> None:
    """A record that failed is sent again with all that was in it, and nothing that was not."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.faults.append(fails_records([1], "InternalFailure"))
        batch = batch_of(300)
        outcome = await output.send(batch)
        assert outcome.in_doubt
        assert outcome.retry == list(range(outcome.retry[0], outcome.retry[-1] + 1))
        assert 0 < len(outcome.retry) < batch.count
        there_now = set(await there.received())
        assert there_now == {batch.ids()[i] for i in range(batch.count) if i not in outcome.retry}

    with_output(side, talk, tmp_path, record_bytes=4096)


@pytest.mark.parametrize("side", SIDES)
def test_failure_of_a_later_call_keeps_what_the_earlier_took(side: Side, tmp_path: Path) -> None:
    """What is there is delivered; only the rest is in doubt and sent again."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.faults += [fails_records([], ""), hangs_up(taken=True)]
        batch = batch_of(1100)
        outcome = await output.send(batch)
        assert outcome == Outcome(retry=list(range(500, 1100)), overloaded=True, in_doubt=True)
        assert sorted(await there.received()) == batch.ids()[:1000]

    with_output(side, talk, tmp_path, **ONE_EACH[side])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (says(400, "ProvisionedThroughputExceededException"), Throttled, "overloaded"),
        (says(400, "ExpiredTokenException"), Paused, "renew them"),
        (says(400, "UnrecognizedClientException"), Paused, "wrong AWS credentials"),
        (says(400, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2"), Paused, "clock"),
        (says(400, "AccessDeniedException", "no kinesis:PutRecords"), Denied, "kinesis:PutRecords"),
        (says(400, "ResourceNotFoundException"), Paused, "not there"),
        (says(400, "ValidationException"), Refused, "because"),
        (says(413, "413"), TooLarge, "larger"),
        (says(500, "InternalFailure"), NoAnswer, "because"),
        (fails_records(None, "InternalFailure"), NoAnswer, "because"),
        (hangs_up(taken=True), NoAnswer, "broke"),
        (hangs_up(taken=False), NoAnswer, "broke"),
        (hangs_up(taken=True, half_answered=True), NoAnswer, "broke"),
        (answers(200, b"<html>sign in</html>"), NoAnswer, "does not speak of"),
        (answers(200, b""), NoAnswer, "does not speak of"),
        (answers(502, b"<html>bad gateway</html>"), NoAnswer, "502"),
        (answers(500, "Störung".encode("latin-1")), NoAnswer, "UnicodeDecodeError"),
        (answers(500, b"null"), NoAnswer, "AttributeError"),
        (answers(500, b'{"__type": 5}'), NoAnswer, "TypeError"),
        (changes_answer(lambda answer: {**answer, "Records": [], "RequestResponses": []}), NoAnswer, "does not speak"),
    ],
)
def test_trouble_with_the_whole_batch_is_told_apart(
    side: Side, fault: Fault, error: type[SendError], said: str, tmp_path: Path
) -> None:
    """Each fault once; the next try goes well, and nothing is missing then."""

    async def talk(there: Any, output: Output) -> None:
        batch = batch_of(10)
        there.proxy.faults.append(fault)
        with pytest.raises(error, match=said) as caught:
            await output.send(batch)
        assert type(caught.value) is error
        assert await output.send(batch) == Outcome()
        assert set(await there.received()) == set(batch.ids())

    with_output(side, talk, tmp_path)


@pytest.mark.parametrize("side", SIDES)
def test_silence_is_no_answer(side: Side, tmp_path: Path) -> None:
    """After the time a request may take; whether it was carried out, nobody knows."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.faults.append(says_nothing(taken=True))
        with pytest.raises(NoAnswer, match="no answer in time"):
            await output.send(batch_of(10))

    with_output(side, talk, tmp_path, request_timeout=0.3, connect_timeout=0.3)


def test_server_that_does_not_read_is_given_up() -> None:
    """It takes the connection and nothing of a large request: the library alone would wait for ever."""

    async def run() -> None:
        held = asyncio.Event()

        async def takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await held.wait()
            writer.close()

        server = await asyncio.start_server(takes_nothing, "127.0.0.1", 0, limit=1024)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        where: dict[str, Any] = {"endpoint": url, "region": REGION, "stream": "s", **KEYS}
        output = FirehoseOutput(FirehoseConfig(request_timeout=0.3, connect_timeout=0.3, **where))
        async with server, output:
            with pytest.raises(NoAnswer, match="no answer in time"):
                await output.send(batch_of(4000, "x" * 1000))
            held.set()

    asyncio.run(run())


@pytest.mark.parametrize("side", SIDES)
def test_dead_endpoint_is_retryable(side: Side, tmp_path: Path) -> None:
    """Nobody listens: nothing arrived, and the output could be made and entered all the same."""

    async def run() -> None:
        async with side(tmp_path) as there:
            await there.go_away()
            async with there.output() as output:
                with pytest.raises(Retryable, match="no connection") as caught:
                    await output.send(batch_of(1))
                assert type(caught.value) is Retryable
                assert ["no connection" in problem for problem in await output.check()] == [True]
                await there.come_back()
                assert await output.send(batch_of(1)) == Outcome()

    asyncio.run(run())


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("settings", [{"stream": "nobodys"}, {"region": "us-west-2"}])
def test_wrong_stream_or_region_pauses_and_check_says_so(side: Side, settings: dict[str, str], tmp_path: Path) -> None:
    """Both look the same to AWS: there is no such stream there."""

    async def talk(there: Destination, output: Output) -> None:
        with pytest.raises(Paused, match="is its name right, and `region`"):
            await output.send(batch_of(1))
        (problem,) = await output.check()
        assert "is its name right, and `region`" in problem

    with_output(side, talk, tmp_path, **settings)


@pytest.mark.parametrize("side", SIDES)
def test_renewed_credentials_are_found_without_a_restart(
    side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a token has expired the next request is made by a client that looked for credentials anew."""
    keys = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))

    def renew(access_key: str) -> None:
        keys.write_text(f"[renewed]\naws_access_key_id = {access_key}\naws_secret_access_key = secret\n")

    async def talk(there: Any, output: Output) -> None:
        assert await output.send(batch_of(1)) == Outcome()
        there.proxy.faults.append(says(400, "ExpiredTokenException"))
        renew("AKIDNEW")
        with pytest.raises(Paused, match="renew them"):
            await output.send(batch_of(1))
        assert await output.send(batch_of(1)) == Outcome()
        assert ["AKIDNEW" in asked.headers["authorization"] for asked in there.proxy.seen][-1]
        assert not any("AKIDNEW" in asked.headers["authorization"] for asked in there.proxy.seen[:2])

    renew("AKIDOLD")
    with_output(side, talk, tmp_path, access_key_id=None, secret_access_key=None, profile="renewed")


@pytest.mark.parametrize("side", SIDES)
def test_client_with_expired_credentials_lives_until_its_requests_are_through(side: Side, tmp_path: Path) -> None:
    """A request on its way is not cut off by another's trouble."""

    async def talk(there: Any, output: Output) -> None:
        held = asyncio.Event()

        async def waits_for_us(proxy: Any, request: Any, asked: Any) -> Any:
            await held.wait()
            return await fails_records([], "")(proxy, request, asked)

        await output.send(batch_of(1))
        there.proxy.faults += [waits_for_us, says(400, "ExpiredTokenException")]
        slow = asyncio.create_task(output.send(batch_of(1)))
        while len(there.proxy.faults) == 2:
            await asyncio.sleep(0)
        with pytest.raises(Paused):
            await output.send(batch_of(1))
        held.set()
        assert await slow == Outcome()

    with_output(side, talk, tmp_path)


@pytest.mark.parametrize("side", SIDES)
def test_no_credentials_pause_and_say_what_to_give(side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither keys, nor a profile, nor a role of this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    async def talk(there: Destination, output: Output) -> None:
        with pytest.raises(Paused, match="`access_key_id` and `secret_access_key`, a `profile`"):
            await output.send(batch_of(1))

    with_output(side, talk, tmp_path, access_key_id=None, secret_access_key=None)


@pytest.mark.parametrize(("settings", "said"), [({"profile": "nobodys"}, "nobodys"), ({"region": None}, "region")])
@pytest.mark.parametrize("side", SIDES)
def test_profile_or_region_that_is_missing_pauses(
    side: Side, settings: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out when the first batch is sent: the agent starts, and inputs are read."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    if "profile" in settings:
        settings = {**settings, "access_key_id": None, "secret_access_key": None}

    async def talk(there: Destination, output: Output) -> None:
        with pytest.raises(Paused, match=said):
            await output.send(batch_of(1))
        (problem,) = await output.check()
        assert said in problem

    with_output(side, talk, tmp_path, **settings)


@pytest.mark.parametrize("side", SIDES)
def test_document_larger_than_a_record_does_not_hold_up_the_others(side: Side, tmp_path: Path) -> None:
    """It is too large, with its size; the others are there."""

    async def talk(there: Destination, output: Output) -> None:
        batch = batch_of(5)
        batch.documents()[2] = b'{"event":{"id":"id-00002"},"m":"%s"}' % os.urandom(1_100_000).hex().encode()
        outcome = await output.send(batch)
        assert list(outcome.too_large) == [2]
        assert " bytes" in outcome.too_large[2]
        assert outcome == Outcome(too_large=outcome.too_large)
        assert sorted(await there.received()) == [record for record in batch.ids() if record != "id-00002"]

    with_output(side, talk, tmp_path)


@pytest.mark.parametrize("side", SIDES)
def test_document_cut_short_fits_into_a_record(side: Side, tmp_path: Path) -> None:
    """What ``too_large: truncate`` sends is taken."""

    async def talk(there: Destination, output: Output) -> None:
        huge = b'{"event":{"id":"huge"},"m":"%s"}' % os.urandom(1_100_000).hex().encode()
        assert output.rescue("huge", huge, "too large") is None
        short = output.rescue("huge", huge, "too large", 256 * 1024)
        assert short is not None
        assert await output.send(DeliveryBatch.of_documents("s", ["huge"], [short])) == Outcome()
        assert await there.received() == ["huge"]

    with_output(side, talk, tmp_path)


def says_limit(kib: int | None) -> Fault:
    """Answers that the stream's records may be so large."""
    return changes_answer(
        lambda answer: {"StreamDescriptionSummary": {**answer["StreamDescriptionSummary"], "MaxRecordSizeInKiB": kib}}
    )


@pytest.mark.parametrize(
    ("looks", "fits"),
    [
        ([says_limit(4096)], True),
        ([says_limit(1024), says_limit(4096)], True),
        ([says_limit(1024), says_limit(1024)], False),
        ([says_limit(None), says_limit(None)], False),
        ([says(400, "AccessDeniedException"), says(400, "AccessDeniedException")], False),
        ([says(400, "InvalidArgumentException"), says(400, "InvalidArgumentException")], False),
        ([says(400, "LimitExceededException"), says_limit(4096)], True),
    ],
)
def test_largest_record_is_what_the_stream_says(looks: list[Fault], fits: bool, tmp_path: Path) -> None:
    """Asked for once, and again before a document is given up; 1 MiB for who may not ask."""

    async def takes_all(proxy: Any, request: Any, asked: Any) -> Any:
        count = len(json.loads(asked.body)["Records"])
        body = {"FailedRecordCount": 0, "Records": [{"SequenceNumber": str(i)} for i in range(count)]}
        return await answers(200, json.dumps(body).encode(), "application/x-amz-json-1.1")(proxy, request, asked)

    async def run() -> None:
        async with Kinesis(tmp_path) as there, there.output(aggregation="none") as output:
            there.proxy.strikes = lambda asked: asked.operation in ("DescribeStreamSummary", "PutRecords")
            small = batch_of(1)
            there.proxy.faults += [looks[0], takes_all]
            assert await output.send(small) == Outcome()
            large = batch_of(1, "x" * 2 * 1024**2)
            there.proxy.faults += [*looks[1:], takes_all]
            outcome = await output.send(large)
            assert list(outcome.too_large) == ([] if fits else [0])

    asyncio.run(run())


def test_document_is_not_given_up_for_a_limit_that_could_not_be_asked_for(tmp_path: Path) -> None:
    """Too many look at their streams at once, when a fleet starts: what may be too large waits until that is known."""

    async def run() -> None:
        async with Kinesis(tmp_path) as there, there.output(aggregation="none") as output:
            there.proxy.strikes = lambda asked: asked.operation == "DescribeStreamSummary"
            large = batch_of(1, "x" * 2 * 1024**2)
            there.proxy.faults += [says(400, "LimitExceededException")] * 2
            with pytest.raises(Throttled):
                await output.send(large)
            there.proxy.faults.append(says_limit(1024))
            assert list((await output.send(large)).too_large) == [0]

    asyncio.run(run())


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("status", ["CREATING", "DELETING"])
def test_check_says_that_a_stream_is_not_ready(side: Side, status: str, tmp_path: Path) -> None:
    """Its status, as AWS calls it."""

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        ((name, inner),) = answer.items()
        return {name: {**inner, "StreamStatus": status, "DeliveryStreamStatus": status}}

    async def talk(there: Any, output: Output) -> None:
        there.proxy.strikes = lambda asked: asked.operation.startswith("Describe")
        there.proxy.faults.append(changes_answer(change))
        (problem,) = await output.check()
        assert problem == f"the stream {there.stream} is {status}, not ACTIVE"

    with_output(side, talk, tmp_path)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("said", [b"null", b"5", b'{"StreamDescriptionSummary": null}', b'{"__type": {}}', b"\xff"])
@pytest.mark.parametrize("status", [200, 500])
def test_check_of_something_else_says_so(side: Side, said: bytes, status: int, tmp_path: Path) -> None:
    """Whatever answers there, the check is a sentence and no crash."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.strikes = lambda asked: True
        there.proxy.faults.append(answers(status, said))
        (problem,) = await output.check()
        assert there.stream in problem

    with_output(side, talk, tmp_path)


def test_check_says_that_a_firehose_is_fed_by_another_service(tmp_path: Path) -> None:
    """Such a stream takes nothing from a producer."""

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        answer["DeliveryStreamDescription"]["DeliveryStreamType"] = "KinesisStreamAsSource"
        return answer

    async def talk(there: Any, output: Output) -> None:
        there.proxy.strikes = lambda asked: asked.operation.startswith("Describe")
        there.proxy.faults.append(changes_answer(change))
        (problem,) = await output.check()
        assert "KinesisStreamAsSource" in problem

    with_output(Firehose, talk, tmp_path)


def test_check_writes_nothing(tmp_path: Path) -> None:
    """Only the stream's description is asked for."""

    async def run() -> None:
        for side in SIDES:
            async with side(tmp_path) as there, there.output() as output:
                assert await output.check() == []
                assert await there.received() == []
                assert all(asked.operation.startswith("Describe") for asked in there.proxy.seen)

    asyncio.run(run())


def test_stream_named_by_its_arn_is_written_to(tmp_path: Path) -> None:
    """As one of another account's has to be."""

    async def run() -> None:
        async with Kinesis(tmp_path) as there:
            arn = (await AwsApi(shared_moto().url).summary(there.stream))["StreamARN"]
            async with there.output(stream=arn) as output:
                assert await output.send(batch_of(3)) == Outcome()
            assert len(await there.received()) == 3

    asyncio.run(run())


@pytest.mark.parametrize("side", SIDES)
def test_cancelled_send_leaves_nothing_behind(side: Side, tmp_path: Path) -> None:
    """A request that is given up does not keep its connection, and the next goes well."""

    async def talk(there: Any, output: Output) -> None:
        there.proxy.faults.append(says_nothing(taken=False))
        sending = asyncio.create_task(output.send(batch_of(1)))
        while there.proxy.faults:
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await output.send(batch_of(1)) == Outcome()

    with_output(side, talk, tmp_path)


def test_fault_layer_that_goes_away_waits_for_nobody() -> None:
    """A request it left without an answer is broken at once, not when its client has had enough."""

    async def run() -> None:
        async with AwsFaults("http://127.0.0.1:1", lambda asked: True) as front:
            front.faults.append(says_nothing(taken=False))
            where: dict[str, Any] = {"endpoint": front.url, "region": REGION, "stream": "s", **KEYS}
            async with FirehoseOutput(FirehoseConfig(request_timeout=3600.0, **where)) as output:
                sending = asyncio.create_task(output.send(batch_of(1)))
                while front.faults:
                    await asyncio.sleep(0)
                async with asyncio.timeout(30):
                    await front.go_away()
                    with pytest.raises(NoAnswer, match="broke"):
                        await sending

    asyncio.run(run())
