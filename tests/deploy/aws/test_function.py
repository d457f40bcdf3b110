"""The zip that `make lambda` builds, run by AWS's own runtime client beside moto's S3."""

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from modeltail_lambda.settings import SettingsError, read_settings

from tests.deploy.aws.function import HANDLER, ROOT, built, client, environment
from tests.deploy.aws.stream import SHARD, arrival, document, gzipped, joined, record, record_id
from tests.fakes.aws_faults import AwsFaults, Fault, hangs_up, says
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.faults import says_nothing
from tests.servers.event_source import event_of
from tests.servers.lambda_runtime import FunctionFailed, LambdaFunction
from tests.servers.moto import REGION, MotoServer, moto_server
from tests.servers.process import free_port

BUCKET = "logs-of-models"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip."""
    target = tmp_path_factory.mktemp("lambda") / "function.zip"
    return built(target)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One for all tests here; each has a bucket of its own prefix."""
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        client(server, "s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield server


def objects(server: MotoServer, prefix: str) -> dict[str, list[bytes]]:
    """The lines of every object below a prefix."""
    s3 = client(server, "s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", ())
    bodies = {entry["Key"]: s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed}
    return {key: gzip.decompress(body).split(b"\n")[:-1] for key, body in bodies.items()}


def test_build_is_the_same_every_time(code: Path, tmp_path: Path) -> None:
    """Two builds are the same bytes, so that a deployment without a change is none."""
    subprocess.run(["make", "lambda", f"PYTHON={sys.executable}"], cwd=ROOT, check=True, capture_output=True)
    assert (ROOT / "deploy/aws/lambda/build/modeltail-lambda.zip").read_bytes() == code.read_bytes()


def test_every_form_of_kinesis_records_becomes_objects(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """gzip, joined and plain: each document lies in the object of its hour, as it was written."""
    documents = [document(i) for i in range(30)]
    event = event_of(
        "logs",
        SHARD,
        [
            record(gzipped(documents[:10]), 0),
            record(joined(documents[10:20]), 1),
            record(b"\n".join(documents[20:]), 2),
        ],
    )
    with LambdaFunction(code, HANDLER, environment(moto, BUCKET=BUCKET, PREFIX="forms/"), tmp_path) as function:
        assert function.invoke(event) == {"batchItemFailures": []}
        assert function.invoke(event) == {"batchItemFailures": []}
        first, again = (line for line in function.logged() if line["message"] == "Done")
    found = objects(moto, "forms/")
    assert [line for lines in found.values() for line in lines] == documents
    assert {key.rpartition("/")[0] for key in found} == {"forms/dataset=modeltail.inference/dt=2026-11-22/hour=10"}
    assert (first["Stored.s3"], first["Duplicates.s3"]) == (30, 0)
    assert (again["Stored.s3"], again["Duplicates.s3"]) == (0, 30)


def test_what_cannot_be_read_is_set_aside(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """A damaged Kinesis record and a line of somebody else lie under bad/ with the reason, counted; the others pass."""
    damaged = gzipped([document(1)])[:-9]
    event = event_of("logs", SHARD, [record(damaged, 0), record(gzipped([document(2), b'{"n":1}', document(3)]), 1)])
    settings = environment(moto, BUCKET=BUCKET, PREFIX="poison/", BAD_PREFIX="poisoned/")
    with LambdaFunction(code, HANDLER, settings, tmp_path) as function:
        assert function.invoke(event) == {"batchItemFailures": []}
        assert function.invoke(event) == {"batchItemFailures": []}
        done = [line for line in function.logged() if line["message"] == "Done"]
        aside = [line for line in function.logged() if line["message"].startswith("Set aside")]
    assert [line for lines in objects(moto, "poison/").values() for line in lines] == [document(2), document(3)]
    bad = [json.loads(line) for lines in objects(moto, "poisoned/").values() for line in lines]
    assert [entry["sequence"] for entry in bad] == [arrival(b"", 0).sequence, arrival(b"", 1).sequence]
    assert "cut off" in bad[0]["reason"]
    assert bad[1]["text"] == '{"n":1}'
    assert done[0]["Bad"] == 2
    assert len(aside) == 4


def test_poison_without_a_bucket_fails_its_record(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """What cannot be set aside is not dropped: the mapping's on-failure destination gets it in the end."""
    event = event_of("logs", SHARD, [record(b"poison", 0)])
    settings = environment(moto, ELASTICSEARCH_URL=f"http://127.0.0.1:{free_port()}")
    with LambdaFunction(code, HANDLER, settings, tmp_path) as function:
        assert function.invoke(event) == {"batchItemFailures": [{"itemIdentifier": arrival(b"").sequence}]}
        (line,) = (line for line in function.logged() if line["message"] == "Must come again")
    assert "no bucket" in line["reason"]


def test_missing_bucket_fails_the_records_and_says_so(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """Nothing is lost: everything comes again, and the log names the reason."""
    event = event_of("logs", SHARD, [record(gzipped([document(i)]), i) for i in range(3)])
    with LambdaFunction(code, HANDLER, environment(moto, BUCKET="not-there"), tmp_path) as function:
        assert function.invoke(event) == {"batchItemFailures": [{"itemIdentifier": arrival(b"").sequence}]}
        (line,) = (line for line in function.logged() if line["message"] == "Must come again")
    assert "NoSuchBucket" in line["reason"]


def test_metrics_are_in_the_embedded_format(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """Every metric that the line declares has a number in it, and its dimension a value."""
    event = event_of("logs", SHARD, [record(gzipped([document(1)]))])
    with LambdaFunction(code, HANDLER, environment(moto, BUCKET=BUCKET, PREFIX="metrics/"), tmp_path) as function:
        function.invoke(event)
        (line,) = (line for line in function.logged() if line["message"] == "Done")
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in declared["Metrics"]} >= {"Documents", "Bad", "Failures", "Stored.s3"}
    assert all(isinstance(line[metric["Name"]], int) for metric in declared["Metrics"])
    assert [line[name] for name in declared["Dimensions"][0]] == ["modeltail"]


def test_event_of_something_else_is_an_error(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """It is not taken for an empty batch."""
    with LambdaFunction(code, HANDLER, environment(moto, BUCKET=BUCKET), tmp_path) as function:
        with pytest.raises(FunctionFailed, match="not an event of a Kinesis stream"):
            function.invoke({"Records": [{"eventSource": "aws:sqs", "body": "x"}]})
        assert function.invoke({"Records": []}) == {"batchItemFailures": []}


def test_wrong_settings_fail_the_start(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """The function does not start, and says every mistake."""
    settings = environment(moto, ELASTICSEARCH_URL="es:9200", BUKET="x", BULK_MIB="0")
    with LambdaFunction(code, HANDLER, settings, tmp_path) as function:
        with pytest.raises(FunctionFailed) as failed:
            function.invoke({"Records": []})
        (line,) = (line for line in function.logged() if line.get("level") == "ERROR" and "reason" in line)
    assert "SettingsError" in failed.value.kind
    for name in ("ELASTICSEARCH_URL", "MODELTAIL_BUKET", "BULK_MIB"):
        assert name in line["reason"]


def test_api_key_comes_from_the_secret(code: Path, moto: MotoServer, tmp_path: Path) -> None:
    """The header that Elasticsearch sees is made of what the secret holds."""
    secret = client(moto, "secretsmanager").create_secret(Name="es-key", SecretString="a2V5\n")
    event = event_of("logs", SHARD, [record(gzipped([document(1)]))])

    async def play() -> object:
        async with FakeElasticsearch(authorization="ApiKey a2V5") as server:
            server.templates["logs"] = {"index_patterns": ["logs-*"], "priority": 1, "template": {}}
            settings = environment(moto, ELASTICSEARCH_URL=server.url, API_KEY_SECRET=secret["ARN"])
            with LambdaFunction(code, HANDLER, settings, tmp_path) as function:
                return await asyncio.to_thread(function.invoke, event)

    assert asyncio.run(play()) == {"batchItemFailures": []}


class Held(NamedTuple):
    """A secret that gives no key, or what Secrets Manager answers in its place."""

    secret: Mapping[str, str | bytes]
    faults: Sequence[Fault]
    said: str


@pytest.mark.parametrize(
    "held",
    [
        Held({"SecretString": "a2V5"}, [says(400, "AccessDeniedException", "hands off")], "AccessDeniedException"),
        Held({"SecretString": "a2V5"}, [says(400, "ResourceNotFoundException")], "ResourceNotFoundException"),
        Held({"SecretString": "a2V5"}, [says(500, "InternalServiceError")] * 3, "InternalServiceError"),
        Held({"SecretString": "a2V5"}, [hangs_up(taken=False)] * 3, "onnection"),
        Held({"SecretBinary": b"a2V5"}, [], "no API key"),
        Held({"SecretString": "hunter2\r\nhunter2"}, [], "no API key"),
        Held({"SecretString": " \n"}, [], "no API key"),
    ],
    ids=["not allowed", "not there", "in trouble", "hangs up", "bytes", "lines", "empty"],
)
def test_without_a_key_the_records_come_again_and_the_reason_is_said(
    code: Path, moto: MotoServer, tmp_path: Path, held: Held
) -> None:
    """Nothing goes to Elasticsearch, the answer names the first record, and no word of the secret is in the log. When
    there is a key, the same process delivers."""
    secrets = client(moto, "secretsmanager")
    secret = secrets.create_secret(Name=f"es-{tmp_path.name}", **held.secret)["ARN"]
    event = event_of("logs", SHARD, [record(gzipped([document(i)]), i) for i in range(2)])
    again = {"batchItemFailures": [{"itemIdentifier": arrival(b"").sequence}]}

    async def play() -> None:
        async with (
            FakeElasticsearch(authorization="ApiKey a2V5") as server,
            AwsFaults(moto.url, lambda asked: asked.operation == "GetSecretValue") as aws,
        ):
            server.templates["logs"] = {"index_patterns": ["logs-*"], "priority": 1, "template": {}}
            settings = environment(moto, ELASTICSEARCH_URL=server.url, API_KEY_SECRET=secret)
            with LambdaFunction(code, HANDLER, {**settings, "AWS_ENDPOINT_URL": aws.url}, tmp_path) as function:
                aws.faults.extend(held.faults)
                assert await asyncio.to_thread(function.invoke, event) == again
                (line,) = (line for line in function.logged() if line["message"] == "Must come again")
                assert held.said in line["reason"]
                assert server.requests == []
                secrets.put_secret_value(SecretId=secret, SecretString="a2V5")
                assert await asyncio.to_thread(function.invoke, event) == {"batchItemFailures": []}
                assert "hunter2" not in function.log()
                assert "a2V5" not in function.log()

    asyncio.run(play())


def test_silent_elasticsearch_costs_an_attempt_and_not_the_invocation(
    code: Path, moto: MotoServer, tmp_path: Path
) -> None:
    """The function answers before its time limit, and says from where to go on."""
    event = event_of("logs", SHARD, [record(gzipped([document(1)]))])

    async def play() -> object:
        async with FakeElasticsearch() as server:
            server.faults.append(says_nothing(taken=False))
            settings = environment(moto, ELASTICSEARCH_URL=server.url)
            with LambdaFunction(code, HANDLER, settings, tmp_path, timeout_secs=6) as function:
                return await asyncio.to_thread(function.invoke, event)

    assert asyncio.run(play()) == {"batchItemFailures": [{"itemIdentifier": arrival(b"").sequence}]}


class Mistake(NamedTuple):
    settings: Mapping[str, str]
    said: str


@pytest.mark.parametrize(
    "mistake",
    [
        Mistake({}, "nowhere to write to"),
        Mistake({"BUCKET": "b", "ARCHIVE": "false"}, "nowhere to write to"),
        Mistake({"BUCKET": "b", "ARCHIVE": "yes"}, "ARCHIVE must be true or false"),
        Mistake({"BUCKET": "b", "PREFIX": "logs"}, "PREFIX must end with a slash"),
        Mistake({"BUCKET": "b", "PREFIX": "/logs/"}, "PREFIX must end with a slash"),
        Mistake({"BUCKET": "b", "BAD_PREFIX": "logs/bad/"}, "must not lie below"),
        Mistake({"ELASTICSEARCH_URL": "https://es", "API_KEY": "a", "API_KEY_SECRET": "b"}, "either"),
        Mistake({"ELASTICSEARCH_URL": "https://es", "API_KEY": "a\nb"}, "without spaces or line breaks"),
        Mistake({"ELASTICSEARCH_URL": "https://es", "TIMEOUT_SECS": "1e3"}, "TIMEOUT_SECS must be a whole number"),
    ],
    ids=lambda mistake: mistake.said,
)
def test_mistake_in_the_settings_is_said(mistake: Mistake) -> None:
    """A sentence for each."""
    with pytest.raises(SettingsError, match=mistake.said):
        read_settings({f"MODELTAIL_{name}": value for name, value in mistake.settings.items()})


def test_ids_are_those_of_the_agent() -> None:
    """The tests' documents carry ids as the agent makes them."""
    from agent.record import record_id as made

    assert record_id(137) == made(record_id(0)[:28], 13, 7)
