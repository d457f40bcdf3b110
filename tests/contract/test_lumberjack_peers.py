"""The output `logstash` by lumberjack, read by programs that are not ours."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Retryable
from agent.form import Form
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.frames import LARGEST_WINDOW
from agent.outputs.logstash.lumberjack import STRIKES, LumberjackOutput
from tests.fakes.batches import document, named_batch_of
from tests.fakes.certificates import Certificates, make_certificates
from tests.servers import ServerUnavailable, unavailable
from tests.servers.lumberjack import LumberjackServer, camel, go_lumber

ODD = rb'{"n":1.1099999999999999,"u":"caf\u00e9 \ud83d\ude00","nul":"\u0000","big":123456789012345678901234567890}'


@pytest.fixture(params=[go_lumber, camel], ids=["go-lumber", "camel"], scope="module")
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LumberjackServer]:
    """One of them, for all tests of this module."""
    try:
        with request.param(tmp_path_factory.mktemp("peer")) as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


def send_all(server: LumberjackServer, *batches: DeliveryBatch, **settings: Any) -> list[Outcome]:
    """Send batches at the same time."""

    async def talk() -> list[Outcome]:
        config = LogstashConfig(id="it", hosts=[server.host], **settings)
        async with LumberjackOutput(config) as output:
            return await asyncio.gather(*map(output.send, batches))

    return asyncio.run(talk())


def received(server: LumberjackServer, *batches: DeliveryBatch) -> list[str]:
    """The ids of these batches that the server has, in its order."""
    wanted = {record for batch in batches for record in batch.ids()}
    return [event.record for event in server.events() if event.record in wanted]


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
def test_every_event_arrives_once(peer: LumberjackServer, compress: bool) -> None:
    """Several windows of several batches over one connection, some waiting behind others."""
    batches = [named_batch_of([document(i) for i in range(5000)], [document(i) for i in range(3)]) for _ in range(4)]
    assert send_all(peer, *batches, compress=compress) == [Outcome()] * 4
    for batch in batches:
        assert received(peer, batch) == batch.ids()


def test_frames_of_the_queue_arrive_as_they_lie(peer: LumberjackServer) -> None:
    """Each a window, up to the most that readers take; small ones between them in windows of their own."""
    batches = [
        named_batch_of(
            [b'{"n":%d}' % i for i in range(LARGEST_WINDOW)],
            [document(1)],
            [document(i, text="x" * 1000) for i in range(3500)],
            form=Form.LUMBERJACK,
        )
        for _ in range(3)
    ]
    assert send_all(peer, *batches) == [Outcome()] * 3
    for batch in batches:
        assert received(peer, batch) == batch.ids()


def test_large_empty_and_odd_documents_arrive(peer: LumberjackServer) -> None:
    """A megabyte, nothing at all, escapes and numbers beyond every type."""
    batch = named_batch_of([ODD, b"{}", document(1, text="x" * 1024**2), document(2)])
    assert send_all(peer, batch) == [Outcome()]
    assert received(peer, batch) == batch.ids()


def test_record_that_cannot_be_read_is_found(peer: LumberjackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks every connection it is sent over; one that was taken before speaks for the server."""
    monkeypatch.setattr("agent.outputs.logstash.lumberjack.KNOCK_SECS", 0.05)
    good, bad = named_batch_of([document(1)]), named_batch_of([b'{"n":}'])

    async def talk() -> list[type[BaseException]]:
        found: list[type[BaseException]] = []
        async with LumberjackOutput(LogstashConfig(id="it", hosts=[peer.host])) as output:
            assert await output.send(good) == Outcome()
            for _ in range(STRIKES + 1):
                with pytest.raises(NoAnswer) as caught:
                    await output.send(bad)
                found.append(caught.type)
                bad.attempt, bad.in_doubt = bad.attempt + 1, True
        return found

    assert asyncio.run(talk()) == [NoAnswer] * STRIKES + [CutOff]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and a certificate of its for loopback."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LumberjackServer]:
    """A server behind TLS that wants certificates of its clients."""
    files = ("-chain", certificates.chain, "-key", certificates.key, "-clients", certificates.authority)
    try:
        with go_lumber(tmp_path_factory.mktemp("guarded"), *map(str, files)) as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


def test_tls_with_client_certificates(guarded: LumberjackServer, certificates: Certificates) -> None:
    """Both sides know each other; nothing of an event is changed."""
    batch = named_batch_of([ODD])
    outcome = send_all(
        guarded,
        batch,
        tls=True,
        ca_file=str(certificates.authority),
        client_cert=str(certificates.chain),
        client_key=str(certificates.key),
    )
    assert outcome == [Outcome()]
    (event,) = [event for event in guarded.events() if event.record in batch.ids()]
    assert event.text.partition(b"},")[2].startswith(ODD[1:-1] + b",")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "lumberjack|closed"),
        ({"tls": True}, "certificate"),
        ({"tls": True, "verify": "none"}, "TLS"),
    ],
    ids=["no TLS", "unknown authority", "no client certificate"],
)
def test_what_the_server_does_not_let_in_is_said(
    guarded: LumberjackServer, settings: dict[str, Any], problem: str
) -> None:
    """It pauses, or is tried again; nothing counts as delivered, nothing is there."""
    batch = named_batch_of([document(1)])
    with pytest.raises((Paused, Retryable), match=problem):
        send_all(guarded, batch, **settings)
    assert received(guarded, batch) == []


def test_slow_server_that_says_it_is_alive_is_waited_for(tmp_path: Path) -> None:
    """Twice the limit of silence passes between a window and its acknowledgement."""
    batch = named_batch_of([document(1)])
    try:
        with go_lumber(tmp_path, "-pause", "2s", "-alive", "100ms") as server:
            assert send_all(server, batch, request_timeout=1) == [Outcome()]
            assert received(server, batch) == batch.ids()
    except ServerUnavailable as error:
        unavailable(error)
