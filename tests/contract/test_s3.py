"""What the output ``s3`` relies on in S3, and what becomes of what S3 says: before versitygw and moto's server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import NoAnswer, Paused, Retryable, SendError, Throttled
from agent.outputs.aws.errors import Denied
from agent.outputs.s3.bucket import Bucket
from agent.outputs.s3.config import S3Config
from agent.outputs.s3.contents import documents_in
from agent.outputs.s3.output import S3Output
from agent.record import RunId, record_id
from tests.contract.destinations.s3 import S3
from tests.fakes.aws_faults import Asked, AwsFaults, answers, hangs_up, says
from tests.fakes.batches import batch_of
from tests.servers import ServerUnavailable, moto, unavailable, versitygw
from tests.servers.moto import moto_server

MIB = 1024**2


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Settings towards each server, whose bucket ``logs`` is there."""
    try:
        with (
            versitygw.versitygw(tmp_path_factory.mktemp("versitygw")) as gateway,
            moto_server(tmp_path_factory.mktemp("moto")) as fake,
        ):
            (gateway.buckets / "logs").mkdir()
            there = {
                "versitygw": {"endpoint": gateway.url, "region": versitygw.REGION, **versitygw.KEYS},
                "moto": {"endpoint": fake.url, "region": moto.REGION, **moto.KEYS},
            }
            asyncio.run(_make_bucket(there["moto"]))
            yield there
    except ServerUnavailable as error:
        unavailable(error)


async def _make_bucket(settings: dict[str, Any]) -> None:
    from agent.outputs.aws.client import open_client

    async with open_client("s3", _config(settings), s3={"addressing_style": "path"}) as client:
        await client.create_bucket(Bucket="logs", CreateBucketConfiguration={"LocationConstraint": settings["region"]})


def _config(settings: dict[str, Any], **more: Any) -> S3Config:
    return msgspec.convert({"type": "s3", "bucket": "logs", **settings, **more}, S3Config)


both = pytest.mark.parametrize("server", ["versitygw", "moto"])


@both
@pytest.mark.parametrize("size", [0, 3, 11 * MIB], ids=["empty", "small", "in parts"])
def test_name_is_taken_once(servers: dict[str, dict[str, Any]], server: str, size: int) -> None:
    """The second put of a name changes nothing, also in parts, and what comes back is what was put."""

    async def story() -> None:
        body, key = os.urandom(size), f"once/{size}"
        async with Bucket(_config(servers[server], part_bytes=5 * MIB)) as bucket:
            assert await bucket.put_new(key, body)
            assert not await bucket.put_new(key, bytes(size))
            assert await bucket.get(key) == body
            assert [name async for name in bucket.names("once/")].count(key) == 1

    asyncio.run(story())


@both
def test_of_many_puts_at_once_one_is_taken(servers: dict[str, dict[str, Any]], server: str) -> None:
    """Whoever comes first, the others hear that the name is taken, or that it is being taken and to come again."""

    async def put(bucket: Bucket, body: bytes) -> bool:
        while True:
            try:
                return await bucket.put_new("race/one", body)
            except Retryable:
                await asyncio.sleep(0.01)

    async def story() -> None:
        async with Bucket(_config(servers[server])) as bucket:
            took = await asyncio.gather(*(put(bucket, b"%d" % n) for n in range(10)))
            assert took.count(True) == 1
            assert await bucket.get("race/one") == b"%d" % took.index(True)

    asyncio.run(story())


@both
def test_more_names_than_one_answer_holds_are_all_listed(servers: dict[str, dict[str, Any]], server: str) -> None:
    """Page by page."""

    async def story() -> None:
        async with Bucket(_config(servers[server])) as bucket:
            names = {f"many/{n:04}/x" for n in range(1005)}
            for n in range(0, 1005, 15):
                await asyncio.gather(*(bucket.put_new(f"many/{i:04}/x", b"") for i in range(n, n + 15)))
            assert {name async for name in bucket.names("many/")} == names
            assert len(await bucket.folders("many/")) == 1005
            assert await bucket.get("many/none") is None

    asyncio.run(story())


def test_body_damaged_on_its_way_is_not_taken(servers: dict[str, dict[str, Any]]) -> None:
    """The checksum is ours, so it is not that of what arrived; the next attempt goes through."""

    async def story() -> None:
        async with _front(servers) as (front, settings), Bucket(_config(settings)) as bucket:

            async def damages(proxy: AwsFaults, request: Any, asked: Asked) -> Any:
                from tests.fakes.aws_faults import answer

                return answer(await proxy.pass_on(asked, b"damaged!"))

            front.faults.append(damages)
            with pytest.raises(SendError):
                await bucket.put_new("damaged", b"as it is")
            assert await bucket.put_new("damaged", b"as it is")
            assert await bucket.get("damaged") == b"as it is"

    asyncio.run(story())


@asynccontextmanager
async def _front(
    servers: dict[str, dict[str, Any]], strikes: Callable[[Asked], bool] = lambda asked: True
) -> AsyncIterator[tuple[AwsFaults, dict[str, Any]]]:
    """A layer of faults before versitygw."""
    async with AwsFaults(servers["versitygw"]["endpoint"], strikes) as front:
        yield front, {**servers["versitygw"], "endpoint": front.url}


WRONG = [
    ({"bucket": "nobody-s"}, "NoSuchBucket"),
    ({"secret_access_key": "wrong"}, "wrong AWS credentials"),
    ({"access_key_id": "unknown"}, "access key"),
]
SAID = [
    (says(403, "AccessDenied"), "not allowed"),
    (says(400, "ExpiredToken"), "have expired"),
    (says(403, "RequestTimeTooSkewed"), "clock"),
    (says(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-1'"), "region"),
    (says(400, "InvalidArgument"), "InvalidArgument"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_wrong_settings_pause_and_are_found_by_the_check(
    servers: dict[str, dict[str, Any]], wrong: dict[str, Any], said: str
) -> None:
    """Nothing is lost, and the sentence says what to mend."""

    async def story() -> None:
        async with S3Output(_config(servers["versitygw"], **wrong)) as output:
            with pytest.raises(Paused, match=said):
                await output.send(_batch(3))
            (problem,) = await output.check()
            assert said in problem

    asyncio.run(story())


@pytest.mark.parametrize(("fault", "said"), SAID)
def test_what_a_person_must_mend_pauses(servers: dict[str, dict[str, Any]], fault: Any, said: str) -> None:
    """No record is to blame, so none is refused; the same batch is taken once that is mended."""

    async def story() -> None:
        async with _front(servers) as (front, settings), S3Output(_config(settings)) as output:
            batch = _batch(3)
            front.faults.append(fault)
            with pytest.raises(Paused, match=said):
                await output.send(batch)
            assert await output.send(batch) == Outcome()

    asyncio.run(story())


@pytest.mark.parametrize("in_doubt", [False, True])
def test_throttling_is_overload_and_no_hint_of_size(servers: dict[str, dict[str, Any]], in_doubt: bool) -> None:
    """The loop sends less at a time, and does not halve the batch: a half has another name than what may still be on
    its way."""

    async def story() -> None:
        async with _front(servers) as (front, settings), S3Output(_config(settings)) as output:
            batch = _batch(3)
            batch.in_doubt = in_doubt
            front.faults.append(says(503, "SlowDown"))
            with pytest.raises(Throttled) as caught:
                await output.send(batch)
            assert caught.value.overloaded

    asyncio.run(story())


def test_lost_answer_of_parts_leaves_one_object(servers: dict[str, dict[str, Any]]) -> None:
    """The last request made the object, and nobody heard of it: the repeat finds the name taken."""

    async def story() -> None:
        def completes(asked: Asked) -> bool:
            return asked.method == "POST" and "uploadId" in asked.target

        async with (
            _front(servers, completes) as (front, settings),
            Bucket(_config(settings, part_bytes=5 * MIB)) as bucket,
        ):
            body = os.urandom(6 * MIB)
            front.faults.append(hangs_up(taken=True, half_answered=True))
            with pytest.raises(NoAnswer):
                await bucket.put_new("lost/parts", body)
            assert not await bucket.put_new("lost/parts", body)
            assert await bucket.get("lost/parts") == body

    asyncio.run(story())


def test_failed_upload_in_parts_is_aborted(servers: dict[str, dict[str, Any]]) -> None:
    """Nothing of it is left that would be paid for."""

    async def story() -> None:
        def second_part(asked: Asked) -> bool:
            return "partNumber=2" in asked.target

        async with _front(servers, second_part) as (front, settings):
            async with Bucket(_config(settings, part_bytes=5 * MIB)) as bucket:
                front.faults.append(says(500, "InternalError"))
                with pytest.raises(NoAnswer):
                    await bucket.put_new("aborted", os.urandom(6 * MIB))
                assert await bucket.get("aborted") is None
            assert [asked.method for asked in front.seen if "uploadId" in asked.target][-1] == "DELETE"

    asyncio.run(story())


def test_denied_listing_is_told_from_wrong_keys(servers: dict[str, dict[str, Any]]) -> None:
    """The check says which rights the output needs."""

    async def story() -> None:
        async with _front(servers) as (front, settings):
            front.faults.extend([says(403, "AccessDenied")] * 2)
            async with Bucket(_config(settings)) as bucket:
                with pytest.raises(Denied):
                    await bucket.folders("")
            async with S3Output(_config(settings)) as output:
                (problem,) = await output.check()
                assert "s3:ListBucket" in problem
                assert await output.check() == []

    asyncio.run(story())


def test_encryption_and_storage_class_are_asked_for(servers: dict[str, dict[str, Any]]) -> None:
    """With every way of making an object."""

    async def story() -> None:
        async with _front(servers) as (front, settings):
            config = _config(
                settings, sse="aws:kms", kms_key_id="key-1", storage_class="STANDARD_IA", part_bytes=5 * MIB
            )
            async with Bucket(config) as bucket:
                front.faults.extend([says(403, "AccessDenied")] * 2)
                for body in (b"x", bytes(6 * MIB)):
                    with pytest.raises(Denied):
                        await bucket.put_new("kind", body)
            for asked in front.seen:
                assert asked.headers["x-amz-server-side-encryption"] == "aws:kms"
                assert asked.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
                assert asked.headers["x-amz-storage-class"] == "STANDARD_IA"

    asyncio.run(story())


@pytest.mark.parametrize("size", [3, 6 * MIB], ids=["small", "in parts"])
@pytest.mark.parametrize(
    "answer",
    [b"<html>sign in</html>", b"<html>", b"", b"<ListBucketResult><Contents/><CommonPrefixes/></ListBucketResult>"],
)
def test_answer_of_something_else_is_no_answer(servers: dict[str, dict[str, Any]], answer: bytes, size: int) -> None:
    """What stands in the way and says 200 to everything has stored nothing, and ends no delivery loop."""

    async def story() -> None:
        async with _front(servers) as (front, settings), Bucket(_config(settings, part_bytes=5 * MIB)) as bucket:
            key = f"elsewhere/{size}-{answer.hex()}"
            front.faults.extend([answers(200, answer)] * 20)
            with pytest.raises(NoAnswer):
                await bucket.put_new(key, bytes(size))
            with suppress(SendError):
                await bucket.folders("elsewhere")
            with suppress(SendError):
                assert [name async for name in bucket.names("elsewhere")] == []
            with suppress(SendError):
                await bucket.get("elsewhere")
            front.faults.clear()
            assert await bucket.put_new(key, bytes(size))

    asyncio.run(story())


def test_server_that_does_not_read_is_given_up() -> None:
    """It takes the connection and nothing of a large object: the library alone would wait for ever."""

    async def story() -> None:
        held = asyncio.Event()

        async def takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await held.wait()
            writer.close()

        server = await asyncio.start_server(takes_nothing, "127.0.0.1", 0, limit=1024)
        settings = {"endpoint": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "region": "r", **moto.KEYS}
        quick = _config(settings, request_timeout=0.3, connect_timeout=0.3)
        async with server, Bucket(quick) as bucket, asyncio.timeout(30):
            with pytest.raises(NoAnswer, match="no answer in time"):
                await bucket.put_new("large", bytes(8 * MIB))
            held.set()

    asyncio.run(story())


def test_renewed_credentials_are_found_without_a_restart(
    servers: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a token has expired the next request is made by a client that looked for credentials anew."""
    keys = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))

    def renew(secret: str) -> None:
        key = versitygw.KEYS["access_key_id"]
        keys.write_text(f"[renewed]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    async def story() -> None:
        there = {"endpoint": servers["versitygw"]["endpoint"], "region": versitygw.REGION, "profile": "renewed"}
        async with S3Output(_config(there)) as output:
            renew("old")
            with pytest.raises(Paused, match="wrong AWS credentials"):
                await output.send(_batch(1))
            renew(versitygw.KEYS["secret_access_key"])
            assert await output.send(_batch(1)) == Outcome()

    asyncio.run(story())


def _story(tmp_path: Path, story: Callable[[S3], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with S3(tmp_path) as destination:
            await story(destination)

    asyncio.run(main())


def _batch(count: int, time: str = "2026-11-22T10:00:00Z", run: str | None = None) -> DeliveryBatch:
    run = run or RunId().text
    return batch_of([_document(record_id(run, 0, i), time) for i in range(count)], run=run)


def _document(record: str, time: str) -> bytes:
    content = {
        "@timestamp": time,
        "message": "scored \u00e9\ud83d\ude00",
        "log": {"level": "info"},
        "ml": {"model": {"name": "fraud-scorer", "version": "3.2.0"}},
        "event": {"id": record},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def test_objects_lie_by_the_hour_of_their_events(tmp_path: Path) -> None:
    """One object for each hour of a batch, in UTC, whose name says which ids and how many."""

    async def story(destination: S3) -> None:
        run = RunId().text
        times = ["2026-11-22T10:59:59.9Z", "2026-11-22T12:00:00+01:00", "2026-11-23T00:00:00Z", "2026-11-22T11:30:00Z"]
        documents = [_document(record_id(run, 0, i), time) for i, time in enumerate(times)]
        async with destination.output(prefix="a/b") as output:
            assert await output.send(batch_of(documents, run=run)) == Outcome()
        keys = sorted(str(p.relative_to(destination.bucket)) for p in destination.bucket.rglob("*.gz"))
        folder = "a/b/dataset=modeltail.inference"
        assert [key.rpartition("_")[0] for key in keys] == [
            f"{folder}/dt=2026-11-22/hour=10/{run}-0-0_{run}-0-0_1",
            f"{folder}/dt=2026-11-22/hour=11/{run}-0-1_{run}-0-3_2",
            f"{folder}/dt=2026-11-23/hour=00/{run}-0-2_{run}-0-2_1",
        ]
        bodies = [(destination.bucket / key).read_bytes() for key in keys]
        assert [list(documents_in(keys[0], body)) for body in bodies] == [
            [documents[0]],
            [documents[1], documents[3]],
            [documents[2]],
        ]

    _story(tmp_path, story)


def test_parquet_has_columns_and_the_document(tmp_path: Path) -> None:
    """Read by pyarrow as any reader would; the document is there byte for byte."""
    from pyarrow import parquet

    async def story(destination: S3) -> None:
        batch = _batch(3)
        async with destination.output(format="parquet") as output:
            assert await output.send(batch) == Outcome()
            assert await output.check() == []
        (file,) = destination.bucket.rglob("*.parquet")
        rows = parquet.ParquetFile(file).read().to_pylist()
        assert [row["document"].encode() for row in rows] == batch.documents()
        assert [row["event_id"] for row in rows] == batch.ids()
        del rows[0]["document"], rows[0]["event_id"]
        assert rows[0] == {
            "@timestamp": "2026-11-22T10:00:00Z",
            "level": "info",
            "model": "fraud-scorer",
            "version": "3.2.0",
            "message": "scored é😀",
        }

    _story(tmp_path, story)


@pytest.mark.parametrize("kind", ["ndjson.gz", "parquet"])
def test_batch_of_an_earlier_process_is_stored_as_far_as_it_is_not_there(tmp_path: Path, kind: str) -> None:
    """Cut otherwise than before, and half of it there."""

    async def story(destination: S3) -> None:
        whole = _batch(10)
        async with destination.output(format=kind) as output:
            await output.send(whole.subset(range(2, 7)))
        again = _batch(10, run=whole.frames[0].run)
        again.in_doubt = True
        async with destination.output(format=kind) as output:
            assert await output.send(again) == Outcome(duplicates=5)
            assert await output.send(again) == Outcome(duplicates=10)
        assert sorted(await destination.received()) == sorted(whole.ids())

    _story(tmp_path, story)


def test_request_that_the_http_client_repeats_by_itself_raises_no_alarm(tmp_path: Path) -> None:
    """A kept connection breaks before the answer: the client asks again, and finds the name taken. Nobody gave an id
    twice, so the batch counts as in doubt."""

    async def story(destination: S3) -> None:
        first, second = _batch(2), _batch(4)
        async with destination.output() as output:
            assert await output.send(first) == Outcome()
            destination.front.faults.append(hangs_up(taken=True))
            assert await output.send(second) == Outcome(duplicates=4)
            assert second.in_doubt
        assert sorted(await destination.received()) == sorted([*first.ids(), *second.ids()])

    _story(tmp_path, story)


def test_lost_answer_throttling_and_absence(tmp_path: Path) -> None:
    """The other end does what the suite over all outputs needs of it."""

    async def story(destination: S3) -> None:
        batch = _batch(4)
        async with destination.output() as output:
            await destination.go_away()
            with pytest.raises(Retryable) as caught:
                await output.send(batch)
            assert not isinstance(caught.value, NoAnswer)
            await destination.come_back()
            destination.throttle(1)
            with pytest.raises(Retryable):
                await output.send(batch)
            destination.lose_answer()
            with pytest.raises(NoAnswer):
                await output.send(batch)
            batch.in_doubt = True
            assert await output.send(batch) == Outcome(duplicates=4)
        assert await destination.documents() == dict(zip(batch.ids(), batch.documents(), strict=True))

    _story(tmp_path, story)
