"""Requests signed for AWS, held against a gate that recomputes the signature from the wire."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import Outcome
from agent.errors import Paused, SendError
from agent.outputs.opensearch.config import AwsSigning, OpensearchConfig
from agent.outputs.opensearch.output import OpensearchLookup, OpensearchOutput
from agent.outputs.opensearch.signing import AwsSigner
from tests.fakes.aws_gate import AwsGate
from tests.fakes.batches import STREAM, batch_of, document
from tests.fakes.elasticsearch import FakeElasticsearch

KEYS = {"AKIATEST": "secret/+of=test"}
OPTIONS = {"region": "eu-west-1", "access_key_id": "AKIATEST", "secret_access_key": "secret/+of=test"}


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that has nothing of AWS; the credentials file it would have."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


def config(server: FakeElasticsearch, aws: Mapping[str, str], **settings: Any) -> OpensearchConfig:
    """A configuration for the fake."""
    signing = msgspec.convert(aws, AwsSigning)
    return OpensearchConfig(**{"id": "it", "hosts": [server.url], "aws": signing, **settings})


def send(gate: AwsGate, aws: Mapping[str, str] | None = None, prefix: str = "") -> Outcome | SendError:
    """What becomes of a batch behind this gate."""

    async def play() -> Outcome | SendError:
        fake = FakeElasticsearch(is_opensearch=True, gate=gate, prefix=prefix)
        async with fake as server, OpensearchOutput(config(server, aws or OPTIONS)) as output:
            try:
                return await output.send(batch_of([document(0), document(1)], [document(2)]))
            except SendError as error:
                return error

    return asyncio.run(play())


@pytest.mark.parametrize("prefix", ["", "/gateway/es"])
def test_signed_requests_are_let_in(prefix: str) -> None:
    """Template and bulk requests, bodies in pieces, queries with commas and asterisks, paths with a prefix."""
    gate = AwsGate(KEYS)
    assert send(gate, prefix=prefix) == Outcome()
    assert gate.let_in >= 3


def test_every_kind_of_request_is_signed() -> None:
    """The check, a pipeline with a slash in its name, the look-up of records in doubt, and the verification."""

    async def play() -> None:
        gate = AwsGate(KEYS)
        async with FakeElasticsearch(is_opensearch=True, gate=gate, pipelines=frozenset({"a b/c"})) as server:
            settings = config(server, OPTIONS, pipeline="a b/c")
            async with OpensearchOutput(settings) as output, OpensearchLookup(settings) as lookup:
                assert await output.check() == []
                batch = batch_of([document(0), document(1)])
                await output.send(batch)
                batch.in_doubt, batch.attempt = True, 2
                assert (await output.send(batch)).duplicates == 2
                assert await lookup.missing(STREAM, batch.ids()) == []
            assert gate.let_in == len(server.requests)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"secret_access_key": "another"}, "check the secret access key"),
        ({"access_key_id": "AKIAOTHER"}, "check the access key"),
        ({"region": "us-east-1"}, "check `aws.region` and `aws.service`"),
        ({"service": "aoss"}, "check `aws.region` and `aws.service`"),
    ],
)
def test_who_signs_wrongly_is_told_what_to_do(wrong: dict[str, str], advice: str) -> None:
    """The output pauses, and nothing is there."""
    gate = AwsGate(KEYS)
    outcome = send(gate, {**OPTIONS, **wrong})
    assert isinstance(outcome, Paused)
    assert advice in str(outcome)
    assert gate.let_in == 0


@pytest.mark.parametrize(("ahead", "advice"), [(timedelta(hours=1), "is behind"), (timedelta(hours=-1), "is ahead")])
def test_a_clock_that_is_wrong_pauses(ahead: timedelta, advice: str) -> None:
    """It is this machine's that is to be set right."""
    gate = AwsGate(KEYS)
    gate.clock = ahead
    outcome = send(gate)
    assert isinstance(outcome, Paused)
    assert f"the clock of this machine {advice}" in str(outcome)


def test_renewed_credentials_are_taken_up(aws: Path) -> None:
    """A token that has run out pauses the output; when the file has a new one, the next attempt succeeds."""
    profile = "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret/+of=test\naws_session_token = "

    async def play() -> None:
        gate = AwsGate(KEYS)
        gate.expired.add("old")
        aws.write_text(profile + "old\n")
        fake = FakeElasticsearch(is_opensearch=True, gate=gate)
        async with fake as server, OpensearchOutput(config(server, {"region": "eu-west-1"})) as output:
            with pytest.raises(Paused, match="run out: renew"):
                await output.send(batch_of([document(0)]))
            aws.write_text(profile + "new\n")
            assert await output.send(batch_of([document(0)])) == Outcome()

    asyncio.run(play())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"region": "eu-west-1"}, "no AWS credentials are found"),
        ({"access_key_id": "a", "secret_access_key": "b"}, "needs a region"),
        ({"region": "eu-west-1", "profile": "nobody"}, "nobody"),
    ],
)
def test_nothing_to_sign_with_pauses(settings: dict[str, str], said: str) -> None:
    """Nothing is sent unsigned."""
    gate = AwsGate(KEYS)
    outcome = send(gate, settings)
    assert isinstance(outcome, Paused)
    assert said in str(outcome)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere", "AWS_ROLE_ARN": "arn:aws:iam::1:role/models"}, "/nowhere"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/credentials"}, "Unsupported host"),
        ({"AWS_PROFILE": "nonsense"}, "Expecting value"),
        ({"AWS_PROFILE": "nothing"}, "/nowhere"),
    ],
)
def test_credentials_that_cannot_be_read_pause(
    aws: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    """What AWS's own ways end with where a token is missing, or a program does not say what it should, is no error of
    botocore's."""
    (aws.parent / "config").write_text(
        "[profile nonsense]\ncredential_process = echo nonsense\n[profile nothing]\ncredential_process = /nowhere\n"
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outcome = send(AwsGate(KEYS), {"region": "eu-west-1"})
    assert isinstance(outcome, Paused)
    assert said in str(outcome)


def test_opensearchs_own_refusals_stay_what_they_are() -> None:
    """A 403 of OpenSearch, which has an ``error``, is none of AWS's."""
    from agent.outputs.http_client.connection import Answer

    signer = AwsSigner(AwsSigning())
    signer.look_at(Answer(403, {}, b'{"error":{"type":"security_exception","reason":"Signature expired"}}'))
    signer.look_at(Answer(200, {}, b'{"message":"Signature expired"}'))
    signer.look_at(Answer(403, {}, b"<html>Signature expired</html>"))


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_segment = _text.filter(lambda text: text not in {"", ".", ".."})


@given(
    segments=st.lists(_segment, min_size=1, max_size=4),
    query=st.lists(st.tuples(_segment, _text), max_size=4),
    loose=st.sampled_from(["", ",*", ",*:@!$'()"]),
    body=st.binary(max_size=100),
)
def test_any_address_is_signed_as_it_goes_over_the_wire(
    segments: list[str], query: list[tuple[str, str]], loose: str, body: bytes
) -> None:
    """However much of a path is quoted, in whatever order the query stands, and however little of that is quoted."""
    path = "".join("/" + quote(segment, safe="") for segment in segments)
    pairs = "&".join(f"{quote(name, safe=loose)}={quote(value, safe=loose)}" for name, value in query)
    target = f"{path}?{pairs}" if pairs else path
    signer = AwsSigner(msgspec.convert(OPTIONS, AwsSigning))
    checksum = hashlib.sha256(body).hexdigest()
    signed = asyncio.run(signer.sign("POST", f"http://127.0.0.1:9200{target}", checksum))
    headers = {"host": "127.0.0.1:9200", **{name.lower(): value for name, value in signed.items()}}
    assert AwsGate(KEYS).problem("POST", target, headers, body) is None
    assert AwsGate(KEYS).problem("POST", target + "x", headers, body) is not None
    assert AwsGate(KEYS).problem("POST", target, headers, body + b"x") is not None
