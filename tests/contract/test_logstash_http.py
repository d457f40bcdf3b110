"""The output `logstash` by HTTP, towards what answers like Logstash's input ``http``."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Retryable, SendError, TooLarge
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.http import LogstashHttpOutput
from tests.fakes.batches import batch_of, document
from tests.fakes.logstash_http import FakeLogstashHttp, answers, hangs, hangs_up, is_busy

TEST_SECS = 30.0

Story = Callable[[LogstashHttpOutput, FakeLogstashHttp], Awaitable[None]]


def records(*texts: str) -> DeliveryBatch:
    """A batch of small documents with ids of their own in them."""
    return batch_of([document(i, event={"id": f"r{i}"}, text=text) for i, text in enumerate(texts)])


def play(story: Story, *, user: str | None = None, path: str = "", **settings: Any) -> FakeLogstashHttp:
    """Let a story happen between an output and a server."""

    async def main() -> FakeLogstashHttp:
        async with asyncio.timeout(TEST_SECS), FakeLogstashHttp(user) as server:
            config = LogstashConfig(id="it", protocol="http", hosts=[server.url + path], **settings)
            async with LogstashHttpOutput(config) as output:
                await story(output, server)
            return server

    return asyncio.run(main())


async def trouble(sending: Awaitable[Outcome]) -> SendError:
    """The error that a send ends with."""
    with pytest.raises(SendError) as caught:
        await sending
    return caught.value


@pytest.mark.parametrize(("form", "media"), [("json", "application/json"), ("ndjson", "application/x-ndjson")])
@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
def test_documents_arrive_byte_for_byte(form: str, media: str, compress: bool) -> None:
    """As one array or as lines, under the path and with the headers of the configuration."""
    batch = records("a", 'é€😀 " \\ ],[ }{', "c")

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        assert await output.send(batch) == Outcome()

    settings: dict[str, Any] = {"format": form, "compress": compress, "headers": {"X-Team": "ml"}}
    server = play(story, path="/models/", **settings)
    assert [event.document for event in server.taken] == batch.documents()
    (request,) = server.requests
    assert (request.method, request.content_type, request.headers["x-team"]) == ("POST", media, "ml")
    assert request.path.rstrip("/") == "/models"
    assert ("content-encoding" in request.headers) == compress


def test_credentials_are_sent_and_missed() -> None:
    """Basic authentication; without it the output pauses."""

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        assert await output.send(records("a")) == Outcome()

    async def stranger(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        assert type(await trouble(output.send(records("a")))) is Paused

    user = {"username": "us", "password": "secret"}
    assert len(play(story, user="us:secret", **user).taken) == 1
    assert play(stranger, user="us:secret").taken == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Paused),
        (401, Paused),
        (403, Paused),
        (404, Paused),
        (413, TooLarge),
        (429, Retryable),
        (500, NoAnswer),
        (503, NoAnswer),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[SendError]) -> None:
    """Whatever it is, no record is blamed: the input takes any text."""

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        server.faults.append(answers(status, "because", retry_after="7"))
        error = await trouble(output.send(records("a")))
        assert type(error) is kind
        if status == 429:
            assert isinstance(error, Retryable)
            assert (error.overloaded, error.retry_after_secs) == (True, 7.0)
        assert await output.send(records("a")) == Outcome()

    play(story)


def test_answer_that_comes_before_the_body_is_read_is_heard() -> None:
    """A full Logstash says so and closes; the request is not in doubt."""
    batch = records(os.urandom(1024**2).hex())

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        server.faults.append(is_busy)
        error = await trouble(output.send(batch))
        assert type(error) is Retryable
        assert error.overloaded

    play(story)


def test_request_that_hangs_is_in_doubt() -> None:
    """A blocked pipeline takes the request when there is room: it may arrive twice."""

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        server.faults.append(hangs)
        error = await trouble(output.send(records("a")))
        assert type(error) is NoAnswer
        assert "no answer within 0.5 s" in str(error)
        assert len(server.taken) == 1

    play(story, request_timeout=0.5)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["a", "b"], NoAnswer),
        ([os.urandom(1024**2).hex()], NoAnswer),
        ([os.urandom(1024**2).hex(), "b"], CutOff),
    ],
    ids=["small", "single", "large"],
)
def test_connection_that_breaks_speaks_for_a_split_only_under_a_large_batch(
    texts: list[str], kind: type[SendError]
) -> None:
    """A proxy may refuse what is too large like this; a single record is never given up for it."""

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        server.faults.append(hangs_up(taken=False))
        assert type(await trouble(output.send(records(*texts)))) is kind

    play(story)


def test_check_connects_and_sends_nothing() -> None:
    """Every request would be an event."""

    async def story(output: LogstashHttpOutput, server: FakeLogstashHttp) -> None:
        assert await output.check() == []
        await server.go_away()
        (problem,) = await output.check()
        assert server.url in problem

    assert play(story).requests == []


def test_check_connects_to_the_proxy_where_there_is_one() -> None:
    """The hosts may be in reach of the proxy alone; its password is not shown."""

    async def main() -> None:
        async with asyncio.timeout(TEST_SECS), FakeLogstashHttp() as proxy:
            through = proxy.url.replace("http://", "http://user:hunter2@")
            config = LogstashConfig(id="it", protocol="http", hosts=["https://ls.invalid:8080"], proxy=through)
            async with LogstashHttpOutput(config) as output:
                assert await output.check() == []
                await proxy.go_away()
                (problem,) = await output.check()
                assert proxy.url in problem
                assert "hunter2" not in problem

    asyncio.run(main())
