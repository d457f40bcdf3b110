"""The ``opensearch`` output against a real server with tight limits."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, Retryable, SendError, TooLarge
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.output import OpensearchOutput
from tests.fakes.batches import batch_of, document
from tests.servers import ServerUnavailable, unavailable
from tests.servers.opensearch import OpensearchServer, opensearch_server

LIMITS = {"http.max_content_length": "1mb", "indexing_pressure.memory.limit": "600kb"}


@pytest.fixture(scope="module")
def limited() -> Iterator[OpensearchServer]:
    """A server that takes bodies up to 1 MiB, and little at once."""
    try:
        with opensearch_server(settings=LIMITS) as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


def send(server: OpensearchServer, batch: DeliveryBatch) -> Outcome | SendError:
    """What becomes of a batch."""

    async def play() -> Outcome | SendError:
        async with OpensearchOutput(OpensearchConfig(id="it", hosts=[server.url])) as output:
            try:
                return await output.send(batch)
            except SendError as error:
                return error

    return asyncio.run(play())


@pytest.mark.parametrize(("count", "each"), [(30, 50_000), (1, 1_500_000)])
def test_a_body_over_the_limit_is_too_large(limited: OpensearchServer, count: int, each: int) -> None:
    """A 413 is recognised, and a connection cut while we still write is suspected."""
    batch = batch_of([document(n, fields={"noise": os.urandom(each).hex()}) for n in range(count)])
    assert isinstance(send(limited, batch), TooLarge | CutOff)  # which of them is a matter of luck


def test_a_small_body_that_inflates_over_the_limit_is_too_large(limited: OpensearchServer) -> None:
    """The server counts inflated bytes."""
    batch = batch_of([document(n, fields={"same": "x" * 20_000}) for n in range(200)])
    assert sum(map(len, batch.bodies)) < 100_000
    assert isinstance(send(limited, batch), TooLarge)


def test_indexing_pressure_is_overload(limited: OpensearchServer) -> None:
    """A whole request refused with 429 is to be sent again, more slowly."""
    outcome = send(limited, batch_of([document(n, fields={"noise": os.urandom(500).hex()}) for n in range(700)]))
    assert isinstance(outcome, Retryable)
    assert outcome.overloaded
