"""The ``elasticsearch`` output against a real server with users, roles and tight limits."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, Paused, Retryable, SendError, TooLarge
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from tests.fakes.batches import STREAM, batch_of, document
from tests.servers import ServerUnavailable, unavailable
from tests.servers.elasticsearch import ElasticsearchServer, elasticsearch_server

PAGE = (Path(__file__).parents[2] / "docs" / "outputs" / "elasticsearch.md").read_text()
# The role is the one of the documentation: JSON there, and so, on one line, YAML here.
ROLES = f"""
installer: {json.dumps(json.loads(PAGE.partition("```json")[2].partition("```")[0]))}
writer:
  indices:
    - names: ["logs-modeltail.*-*"]
      privileges: [auto_configure, create_doc]
"""
USERS = {
    "admin": ("admin-password", "superuser"),
    "installer": ("installer-password", "installer"),
    "writer": ("writer-password", "writer"),
}
LIMITS = {"http.max_content_length": "1mb", "indexing_pressure.memory.limit": "600kb"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[ElasticsearchServer]:
    """A server that wants a password and takes bodies up to 1 MiB."""
    try:
        with elasticsearch_server("9.2.0", settings=LIMITS, users=USERS, roles=ROLES) as server:
            yield server
    except ServerUnavailable as error:
        unavailable(error)


def talk(
    server: ElasticsearchServer, batch: DeliveryBatch, user: str, **settings: Any
) -> tuple[list[str], Outcome | SendError]:
    """What the check says, then what becomes of a batch."""

    async def play() -> tuple[list[str], Outcome | SendError]:
        credentials = {"username": user, "password": f"{user}-password"}
        config = ElasticsearchConfig(**{"id": "es", "hosts": [server.url], **credentials, **settings})
        async with ElasticsearchOutput(config) as output:
            problems = await output.check()
            try:
                return problems, await output.send(batch)
            except SendError as error:
                return problems, error

    return asyncio.run(play())


def sized(count: int, each: int) -> DeliveryBatch:
    """Records of about this size that hardly compress."""
    return batch_of([document(n, fields={"noise": os.urandom(each // 2).hex()}) for n in range(count)])


def test_a_wrong_password_pauses_and_says_so(guarded: ElasticsearchServer) -> None:
    """The check and the refusal both name the cause in words a person understands."""
    (problem,), outcome = talk(guarded, sized(1, 10), "admin", password="other")  # noqa: S106  # made up
    assert isinstance(outcome, Paused)
    assert problem.startswith("wrong credentials")
    assert str(outcome).startswith("wrong credentials")


def test_the_documented_privileges_suffice(guarded: ElasticsearchServer) -> None:
    """A user with the role of the documentation installs the template, writes, and looks up what is in doubt."""
    problems, outcome = talk(guarded, sized(3, 10), "installer")
    assert (problems, outcome) == ([], Outcome())
    in_doubt = sized(3, 10)
    in_doubt.in_doubt = True
    guarded.request("POST", f"/logs-{STREAM}/_rollover")
    assert talk(guarded, in_doubt, "installer")[1] == Outcome()


def test_a_writer_writes_where_the_template_is_installed(guarded: ElasticsearchServer) -> None:
    """With ``setup: never`` and the right to create documents alone records arrive; the check names what is missing."""
    talk(guarded, sized(1, 10), "installer")
    (problem,), outcome = talk(guarded, sized(3, 10), "writer", setup="never")
    assert outcome == Outcome()
    assert problem == f"the user writer lacks the privileges read, view_index_metadata on logs-{STREAM}"


def test_a_stream_one_may_not_write_to_pauses(guarded: ElasticsearchServer) -> None:
    """No record is refused for it; all wait."""
    problems, outcome = talk(guarded, sized(3, 10), "writer", setup="never", data_stream="other-{namespace}")
    assert isinstance(outcome, Paused)
    assert "create_doc" in problems[0]


@pytest.mark.parametrize(("count", "each"), [(30, 100_000), (1, 3_000_000), (200, 20_000)])
def test_a_body_over_the_limit_is_too_large(guarded: ElasticsearchServer, count: int, each: int) -> None:
    """A 413 is recognised although its body is empty, and a connection cut while we still write is suspected."""
    _, outcome = talk(guarded, sized(count, each), "admin")
    assert isinstance(outcome, TooLarge | CutOff)  # which of them is a matter of luck


def test_a_small_body_that_inflates_over_the_limit_is_too_large(guarded: ElasticsearchServer) -> None:
    """The server counts inflated bytes."""
    batch = batch_of([document(n, fields={"same": "x" * 20_000}) for n in range(200)])
    assert sum(map(len, batch.bodies)) < 100_000
    assert isinstance(talk(guarded, batch, "admin")[1], TooLarge)


def test_indexing_pressure_is_overload(guarded: ElasticsearchServer) -> None:
    """A whole request refused with 429 is to be sent again, more slowly."""
    _, outcome = talk(guarded, sized(700, 1000), "admin")
    assert isinstance(outcome, Retryable)
    assert outcome.overloaded
