"""What the output does in OpenSearch's dialect, from a fake that misbehaves on cue."""

import asyncio

import pytest

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, SendError
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.output import OpensearchOutput
from tests.fakes.batches import batch_of, document
from tests.fakes.elasticsearch import FakeElasticsearch, Fault
from tests.fakes.faults import answers


def send_to(server: FakeElasticsearch, fault: Fault | None = None) -> tuple[list[str], Outcome | SendError]:
    """What the check says, then what becomes of a batch when the fake behaves so."""

    async def play() -> tuple[list[str], Outcome | SendError]:
        async with server, OpensearchOutput(OpensearchConfig(id="it", hosts=[server.url])) as output:
            problems = await output.check()
            if fault is not None:
                server.faults.append(fault)
            try:
                return problems, await output.send(batch_of([document(0)]))
            except SendError as error:
                return problems, error

    return asyncio.run(play())


def test_what_only_elasticsearch_has_is_not_asked() -> None:
    """Neither its privileges nor its parameters: a service before OpenSearch can take the question amiss."""
    server = FakeElasticsearch(is_opensearch=True)
    assert send_to(server) == ([], Outcome())
    assert [path for _, path in server.requests if "_security" in path] == []
    assert server.bulks[0].query.keys() == {"filter_path"}


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (200, b"<html>please log in</html>", NoAnswer, "is this address OpenSearch's?"),
        (404, b"", Paused, "is this address OpenSearch's?"),
        (403, b'{"Message":"User: anonymous is not authorized"}', Paused, "User: anonymous is not authorized"),
        (403, b'{"message":"Forbidden"}', Paused, "Forbidden"),
        (403, b'{"error":{"type":"security_exception","reason":"no permissions"}}', Paused, "no permissions"),
    ],
)
def test_what_is_said_names_the_product_and_the_reason(
    status: int, body: bytes, error: type[SendError], said: str
) -> None:
    """In whichever form a gateway gives it."""
    _, outcome = send_to(FakeElasticsearch(is_opensearch=True), answers(status, body, "application/json"))
    assert type(outcome) is error
    assert said in str(outcome)
