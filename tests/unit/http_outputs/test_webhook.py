"""The output `http`: bodies, headers, statuses, and whom it believes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.http.config import HttpOutputConfig
from agent.outputs.http.output import HttpOutput, idempotency_key
from agent.outputs.http_client.documents import body_of
from agent.outputs.http_client.doubt import MAX_REFUSED_IN_A_ROW
from agent.outputs.http_client.refusal import LARGE_BYTES
from tests.fakes.certificates import make_certificates
from tests.fakes.receiver import hangs_up, refuses, says_nothing
from tests.fakes.webhook import Webhook
from tests.unit.http_outputs.sending import Make, batch_of, check, document, send


def output(**settings: Any) -> Make:
    """Makes the output."""
    return lambda url: HttpOutput(HttpOutputConfig(**{"id": "it", "hosts": [url], **settings}))


@pytest.mark.parametrize("gzip", [True, False])
@pytest.mark.parametrize(("form", "method"), [("ndjson", "POST"), ("json", "PUT")])
def test_documents_arrive_byte_for_byte(form: str, method: str, gzip: bool) -> None:
    """As lines and as an array, compressed or not; numbers and escapes stay as they were written."""
    server, batch = Webhook(), batch_of("a", "b", "c")
    odd = rb'{"event":{"id":"b"},"n":1.1099999999999999,"u":"caf\u00e9 \ud83d"}'
    batch.documents()[1] = odd
    assert send(server, output(format=form, method=method, gzip=gzip, path="/in?x=1"), batch) == [Outcome()]
    assert server.records == [("a", document("a")), ("b", odd), ("c", document("c"))]
    (request,) = server.requests
    assert (request.method, request.target) == (method, "/in?x=1")
    assert ("content-encoding" in request.headers) is gzip


def test_repeated_batch_carries_the_same_key() -> None:
    """So a receiver can tell a repeat from a new batch."""
    server = Webhook()
    ends = send(server, output(), batch_of("a", "b"), batch_of("a", "b"), batch_of("b"), faults=[hangs_up(taken=True)])
    assert isinstance(ends[0], NoAnswer)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] != keys[2]


ids = st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=4)


@given(one=ids, other=ids)
def test_key_is_the_same_only_for_the_same_records(one: list[str], other: list[str]) -> None:
    """Neither where an id ends nor their order can be mistaken."""
    assert (idempotency_key(one) == idempotency_key(other)) is (one == other)


def test_key_can_be_left_out() -> None:
    """For receivers that take offence."""
    server = Webhook()
    send(server, output(idempotency_header=None), batch_of("a"))
    assert "idempotency-key" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        ({}, None),
        ({"token": "t0ken"}, "Bearer t0ken"),
        ({"username": "me", "password": "pä:ss"}, "Basic bWU6cMOkOnNz"),
        ({"headers": {"Authorization": "Custom x"}}, "Custom x"),
    ],
)
def test_credentials_go_with_every_request(settings: dict[str, Any], authorization: str | None) -> None:
    """And other headers with them."""
    server = Webhook()
    send(server, output(**settings), batch_of("a"))
    assert server.requests[0].headers.get("authorization") == authorization


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Paused),
        (400, Refused),
        (401, Paused),
        (403, Paused),
        (404, Paused),
        (405, Paused),
        (408, NoAnswer),
        (413, TooLarge),
        (422, Refused),
        (429, Retryable),
        (500, NoAnswer),
        (503, NoAnswer),
    ],
)
def test_every_other_status_has_its_meaning(status: int, kind: type[SendError]) -> None:
    """What the receiver said is quoted, in one line."""
    (end,) = send(Webhook(), output(), batch_of("a"), faults=[refuses(status, "because\n of\x1b it")])
    assert type(end) is kind
    assert "because of� it" in str(end) or status in (301, 413)


def test_wish_for_a_pause_is_passed_on() -> None:
    """A 429 with ``Retry-After`` is overload, and says for how long."""
    (end,) = send(Webhook(), output(), batch_of("a"), faults=[refuses(429, retry_after="7")])
    assert isinstance(end, Retryable)
    assert (end.retry_after_secs, end.overloaded) == (7.0, True)


@pytest.mark.parametrize(("status", "success"), [(200, [202]), (202, [202]), (409, [200, 409])])
def test_success_is_what_the_configuration_says(status: int, success: list[int]) -> None:
    """A receiver that answers a repeat with 409 can have that count; one whose 200 means nothing, too."""
    (end,) = send(Webhook(), output(success=success), batch_of("a"), faults=[refuses(status)])
    assert (end == Outcome()) is (status in success)


@pytest.mark.parametrize("fault", [hangs_up(taken=True), hangs_up(taken=False), says_nothing(taken=True)])
def test_lost_answer_leaves_it_open(fault: Any) -> None:
    """Taken or not: nobody knows, and the loop sends again."""
    (end,) = send(Webhook(), output(request_timeout=0.3), batch_of("a"), faults=[fault])
    assert isinstance(end, NoAnswer)
    assert not isinstance(end, CutOff)


def test_connection_cut_under_a_large_request_may_mean_too_large() -> None:
    """If a small one is answered; under a small one it means nothing."""
    large = batch_of("a", message="x" * LARGE_BYTES)
    (end,) = send(Webhook(), output(gzip=False), large, faults=[hangs_up(taken=False)])
    assert isinstance(end, CutOff)


def test_nobody_listening_is_certainly_not_taken() -> None:
    """So nothing is in doubt."""
    (end,) = send(Webhook(), lambda url: output()("http://127.0.0.1:1"), batch_of("a"))
    assert type(end) is Retryable


def test_refusals_without_end_are_not_believed_of_a_server_that_took_nothing() -> None:
    """Then the request is what is wrong: it pauses, and gives up no more. Once a record is taken, they are."""
    server = Webhook()
    server.poisoned.add("bad")
    poison = [batch_of("bad") for _ in range(MAX_REFUSED_IN_A_ROW + 1)]
    ends = send(server, output(), *poison, batch_of("good"), *poison)
    assert [type(end) for end in ends] == [
        *[Refused] * MAX_REFUSED_IN_A_ROW,
        Paused,
        Outcome,
        *[Refused] * (MAX_REFUSED_IN_A_ROW + 1),
    ]
    assert [record for record, _ in server.records] == ["good", "good"]


def test_server_with_another_certificate_pauses(tmp_path: Any) -> None:
    """And with the authority's it is trusted."""
    certificates = make_certificates(tmp_path)
    server = Webhook(tls=certificates.server_context())
    (end,) = send(server, output(), batch_of("a"))
    assert isinstance(end, Paused)
    again = Webhook(tls=certificates.server_context())
    assert send(again, output(ca_file=str(certificates.authority)), batch_of("a")) == [Outcome()]


def test_another_host_takes_over() -> None:
    """One of two does not listen: after the first failure the other is asked."""
    server = Webhook()

    def make(url: str) -> HttpOutput:
        return HttpOutput(HttpOutputConfig(id="it", hosts=["http://127.0.0.1:1", url]))

    ends = send(server, make, batch_of("a"), batch_of("a"), batch_of("b"))
    assert [end == Outcome() for end in ends] == [False, True, True]


@pytest.mark.parametrize(("status", "problems"), [(405, 0), (200, 0), (401, 1), (404, 1), (302, 1), (503, 1)])
def test_check_says_what_stands_in_the_way(status: int, problems: int) -> None:
    """By a request that writes nothing."""

    class Answering(Webhook):
        def answer(self, request: Any) -> Any:
            assert request.method == "HEAD"
            answer = super().answer(request)
            answer.set_status(status)
            return answer

    found = check(Answering(), output())
    assert len(found) == problems
    assert not any(problem.count("status") > 1 for problem in found)


def test_check_says_that_nobody_listens() -> None:
    """In one sentence."""
    (problem,) = check(Webhook(), lambda url: output()("http://127.0.0.1:1"))
    assert problem == "no connection to 127.0.0.1:1: Connection refused"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"username": "me"}, "username"),
        ({"token": "t", "username": "me", "password": "p"}, "token"),
        ({"token": "t", "headers": {"Authorization": "x"}}, "headers"),
        ({"proxy": "socks5://p:1"}, "proxy"),
        ({"headers": {"Content-Type": "x"}}, "headers"),
        ({"client_key": "k"}, "client_key"),
        ({"headers": {"idempotency-KEY": "x"}}, "idempotency_header"),
        ({"idempotency_header": "Content-Length"}, "idempotency_header"),
    ],
)
def test_fields_that_contradict_each_other_are_named(settings: dict[str, Any], field: str) -> None:
    """Each contradiction is one sentence at one field."""
    config = HttpOutputConfig(hosts=["http://a:1"], **settings)
    assert [name for name, _ in config.problems()] == [field]


def test_bodies_hold_one_document_a_line() -> None:
    """In both forms, whatever the documents hold."""
    batch = DeliveryBatch.of_documents("s", ["1", "2"], [b'{"a":"\\n"}', b"{}"])
    assert json.loads(body_of(batch, "json")) == [{"a": "\n"}, {}]
    assert body_of(batch, "ndjson") == b'{"a":"\\n"}\n{}\n'
