"""The output `loki`: streams, times, and which lines an answer says were refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.loki.answer import Refusals, refusals
from agent.outputs.loki.config import LokiConfig
from agent.outputs.loki.output import LokiOutput
from agent.outputs.loki.push import MAX_VALUE_CHARS, Entry, Shape, push
from tests.fakes.loki import HALF_CHUNK_NS, MAX_AGE_NS, Loki, rfc3339
from tests.fakes.receiver import Request, hangs_up, refuses
from tests.unit.http_outputs.sending import STREAM, TIME, TIME_NS, Make, batch_of, check, document, send

SECOND = 1_000_000_000
LABELS = {"service_name": "service.name", "model": "ml.model.name", "level": "log.level", "host": "host.name"}
METADATA = {"event_id": "event.id", "trace_id": "trace.id"}
SHAPE = Shape(LABELS, METADATA)
BEHIND = "entry too far behind, oldest acceptable timestamp is: {}\n"
TOO_OLD = "entry for stream '{a=\"b\"}' has timestamp too old: " + f"{TIME}, oldest acceptable timestamp is: {TIME}"
RUN = f"{TIME_NS // 1_000_000:012x}" + "0" * 16


def output(**settings: Any) -> Make:
    """Makes the output."""
    return lambda url: LokiOutput(LokiConfig(**{"id": "it", "hosts": [url], **settings}))


def loki(**options: Any) -> Loki:
    """A fake whose clock stands a minute behind the documents' time."""
    return Loki(now_ns=TIME_NS + 60 * SECOND, **options)


def at(record: str, time_ns: int, **fields: object) -> bytes:
    """A document of this time."""
    return document(record, **{"@timestamp": rfc3339(time_ns), **fields})


def batch(**documents: bytes) -> DeliveryBatch:
    """A batch of these documents by id."""
    return DeliveryBatch.of_documents(STREAM, list(documents), list(documents.values()))


def test_push_has_streams_by_label_and_lines_as_they_were() -> None:
    """Byte for byte, with their time to the nanosecond and what goes beside them."""
    info = {"log": {"level": "info"}, "service": {"name": "scoring"}, "ml": {"model": {"name": "fraud"}}}
    first = document("a", **info, trace={"id": "5b8e"})
    odd = rb'{"@timestamp":"2026-11-22T10:00:00.000000001Z","event":{"id":"b"},"n":1.10,"u":"\ud83d\n"}'
    server = loki()
    assert send(server, output(), batch(a=first, b=odd, c=document("c", **info))) == [Outcome()]
    assert json.loads(server.requests[0].body) == {
        "streams": [
            {
                "stream": {"service_name": "scoring", "model": "fraud", "level": "info"},
                "values": [
                    [str(TIME_NS), first.decode(), {"event_id": "a", "trace_id": "5b8e"}],
                    [str(TIME_NS), document("c", **info).decode(), {"event_id": "c"}],
                ],
            },
            {
                "stream": {"service_name": "unknown_service"},
                "values": [[str(TIME_NS - 123456000 + 1), odd.decode(), {"event_id": "b"}]],
            },
        ]
    }
    assert server.requests[0].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("members", "time_ns"),
    [
        ({"@timestamp": TIME, "event": {"created": "2026-11-22T11:00:00Z"}}, TIME_NS),
        ({"@timestamp": "soon", "event": {"created": TIME}}, TIME_NS),
        ({"@timestamp": 17, "event": {"created": TIME}}, TIME_NS),
        ({"@timestamp": TIME, "half": "\ud83d", "long": 10**4000}, TIME_NS),
        ({"event": "none"}, TIME_NS // 1_000_000 * 1_000_000),
        ({}, TIME_NS // 1_000_000 * 1_000_000),
    ],
)
def test_time_comes_from_the_record_alone(members: dict[str, Any], time_ns: int) -> None:
    """Its own, else that of reading, else that of the run: never that of sending, or a repeat would be another line."""
    (entry,) = SHAPE.entries([f"{RUN}-1-0"], [json.dumps(members).encode()])
    assert entry.time_ns == time_ns


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("info", "info"),
        ("é" * 600, "é" * MAX_VALUE_CHARS),
        ("\ud83d", r"\ud83d"),
        (7, "7"),
        (True, "true"),
        (1.5, None),
        ("", None),
        (None, None),
        ({"a": 1}, None),
        (["a"], None),
    ],
)
def test_labels_are_short_texts(value: object, label: str | None) -> None:
    """What is none, or empty, is left out."""
    (entry,) = SHAPE.entries(["x"], [json.dumps({"log": {"level": value}, "host": {"name": "h"}}).encode()])
    assert dict(entry.labels) == {"host": "h"} | ({"level": label} if label else {})


@given(st.lists(st.binary() | st.text().map(lambda t: json.dumps({"message": t}).encode()), max_size=5))
def test_any_document_makes_a_push_that_can_be_read(documents: list[bytes]) -> None:
    """And the line of each is the document, as far as it is text."""
    body = msgspec.json.decode(push(SHAPE.entries(["x"] * len(documents), documents)))
    lines = [value[1] for stream in body["streams"] for value in stream["values"]]
    assert sorted(lines) == sorted(document.decode("utf-8", "replace") for document in documents)


def test_repeat_is_the_same_line() -> None:
    """Stream, time and text: whoever reads both can tell."""
    server = loki()
    ends = send(server, output(), batch_of("a", "b"), batch_of("a", "b"), faults=[hangs_up(taken=True)])
    assert [isinstance(ends[0], NoAnswer), ends[1]] == [True, Outcome()]
    assert len(server.records) == 2 * len(set(server.records)) == 4


def test_lines_too_old_are_told_from_the_others_at_once() -> None:
    """The answer names the oldest time Loki takes, and counts: what is older was refused, all else is there."""
    server = loki()
    old = TIME_NS - MAX_AGE_NS - 3600 * SECOND
    mixed = batch(a=at("a", old), b=at("b", TIME_NS), c=at("c", old + SECOND), d=at("d", TIME_NS))
    (end,) = send(server, output(), mixed)
    assert isinstance(end, Outcome)
    assert (list(end.rejected), end.retry) == ([0, 2], [])
    assert "too old" in end.rejected[0]
    assert [record for record, _ in server.records] == ["b", "d"]


def test_lines_too_far_behind_are_told_from_the_others_at_once() -> None:
    """If they are as many as Loki says; the times it quotes need not be all."""
    server = loki()
    start = TIME_NS - 2 * HALF_CHUNK_NS
    behind = {f"r{n}": at(f"r{n}", start + n * SECOND) for n in range(15)}
    ends = send(server, output(), batch(new=at("new", TIME_NS)), batch(**behind, good=at("good", TIME_NS)))
    assert isinstance(ends[1], Outcome)
    assert (list(ends[1].rejected), ends[1].retry) == ([*range(15)], [15])


def test_lines_before_a_leap_are_not_taken_for_refused() -> None:
    """Within one push the limit moves. Lines it took before that are not older than the limit by mistake: the count
    does not fit, and halving finds the culprit."""
    server = loki()
    early, late = TIME_NS - 2 * HALF_CHUNK_NS, TIME_NS
    (end,) = send(server, output(), batch(a=at("a", early), b=at("b", late), c=at("c", early)))
    assert isinstance(end, Refused)
    assert [record for record, _ in server.records] == ["a", "b"]


ages = st.integers(0, 3 * HALF_CHUNK_NS // SECOND) | st.just(MAX_AGE_NS // SECOND + 3600)
times = ages.map(lambda secs: TIME_NS - secs * SECOND)


@given(st.lists(st.tuples(times, st.sampled_from(["x", "y"])), min_size=1, max_size=8), st.booleans())
def test_no_line_is_called_refused_that_was_taken(lines: list[tuple[int, str]], has_first: bool) -> None:
    """Whatever the order of times, however many streams: what is named is truly not there, and where it is said to be
    all, everything else is."""
    server = loki()
    made = {f"r{n}": at(f"r{n}", when, host={"name": host}) for n, (when, host) in enumerate(lines)}
    if has_first:
        made = {"first": at("first", TIME_NS, host={"name": "x"}), **made}
    entries = SHAPE.entries(list(made), list(made.values()))

    answer = server.answer(Request("POST", "/loki/api/v1/push", {}, push(entries)))
    assert isinstance(answer.body, bytes) or answer.body is None
    said = refusals(answer.body or b"", entries)
    refused = {list(made)[i] for i in said.entries}
    there = {record for record, _ in server.records}
    assert refused.isdisjoint(there)
    assert not said.are_all or refused | there == set(made)
    assert (answer.status == 204) is (len(server.records) == len(made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "too old",
        "has timestamp too old: x, oldest acceptable timestamp is: yesterday",
        "entry too far behind, oldest acceptable timestamp is: 2026-11-22T10:00:00Z",
        BEHIND.format("2026-11-22T10:00:00Z") + "total ignored: 1 out of 9 for stream: {}",
        BEHIND.format("9999-01-01T00:00:00Z") + 'total ignored: 1 out of 1 for stream: {host="z"}',
        BEHIND.format("9999-01-01T00:00:00Z") + 'total ignored: 2 out of 2 for stream: {host="h"}',
    ],
)
def test_answer_that_names_nobody_refuses_nobody(text: str) -> None:
    """Nothing is guessed."""
    assert refusals(text.encode(), [Entry((("host", "h"),), 1, b"")]) == Refusals([], are_all=False)


@given(st.binary(max_size=60))
def test_no_answer_breaks_the_reading(body: bytes) -> None:
    """Whatever somebody puts in the middle of it."""
    entries = [Entry((("host", "h"),), 1, b"")]
    text = b"has timestamp too old: a, oldest acceptable timestamp is: %b total ignored: %b for stream: {" % (
        body,
        body,
    )
    assert set(refusals(text, entries).entries) <= {0}


@pytest.mark.parametrize(
    "text",
    [
        "; ".join([TOO_OLD] * 200) + "; and something else",
        "9" * 5000 + " errors like: " + TOO_OLD,
        BEHIND.format(TIME) + "total ignored: " + "9" * 5000 + " out of 1 for stream: {}",
    ],
)
def test_answer_of_any_length_is_read_once(text: str) -> None:
    """Neither does the search of many quotes for another way to read them take for ever, nor is a number too long."""
    assert not refusals(text.encode(), [Entry((("host", "h"),), TIME_NS, b"")]).are_all


def test_line_too_long_is_found_by_halving() -> None:
    """The answer does not say which; the others are taken already, and once more in their halves."""
    server = loki()
    server.poisoned.add("b")
    ends = send(server, output(), batch_of("a", "b", "c"), batch_of("a"), batch_of("b"), batch_of("c"))
    assert [type(end) for end in ends] == [Refused, Outcome, Refused, Outcome]
    assert {record for record, _ in server.records} == {"a", "c"}


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (260, "ingestion blocked for user fake until", Paused),
        (400, "stream '{}' includes structured metadata, but this feature is disallowed.", Paused),
        (400, "missing required labels env for user fake for stream {}", Paused),
        (400, "Max entry size '262144' bytes exceeded for stream '{}'", Refused),
        (400, r"""Max entry size '9' bytes exceeded for stream '{a="} disallowed", b="no \"org id"}'""", Refused),
        (400, """stream '{a="b"}' includes structured metadata, but this feature is disallowed: '{a="b"}'""", Paused),
        (401, "no org id", Paused),
        (404, "404 page not found", Paused),
        (413, "request body too large", TooLarge),
        (429, "ingestion rate limit exceeded for user fake", Retryable),
        (500, "empty ring", NoAnswer),
        (503, "Ingester is shutting down", NoAnswer),
    ],
)
def test_every_status_has_its_meaning(status: int, said: str, kind: type[SendError]) -> None:
    """What no line is to blame for pauses."""
    (end,) = send(loki(), output(), batch_of("a"), faults=[refuses(status, said + "\n")])
    assert type(end) is kind
    assert said in str(end) or status == 413
    assert not isinstance(end, Retryable) or end.overloaded is (status == 429)


def test_page_instead_of_a_success_is_no_success() -> None:
    """A login page says 200 too."""
    (end,) = send(loki(), output(), batch_of("a"), faults=[refuses(200, "<html>", "text/html; charset=utf-8")])
    assert type(end) is NoAnswer


def test_tenant_goes_with_every_push() -> None:
    """Without it a Loki with tenants does not know us: pause."""
    server = loki(tenants=frozenset({"team-a"}))
    assert send(server, output(tenant="team-a"), batch_of("a")) == [Outcome()]
    (end,) = send(loki(tenants=frozenset({"team-a"})), output(), batch_of("a"))
    assert isinstance(end, Paused)


def test_check_pushes_nothing() -> None:
    """A push without streams is enough to know Loki by."""
    server = loki()
    assert check(server, output()) == []
    assert server.streams == {}
    assert check(loki(tenants=frozenset({"team-a"})), output()) == ["wrong credentials: no org id"]
    assert "is this address Loki's?" in check(loki(), output(path="/push"))[0]
    assert "is this address Loki's?" in check(loki(), output(), refuses(400, "no handler found"))[0]


def test_fields_that_contradict_each_other_are_named() -> None:
    """The tenant twice."""
    config = LokiConfig(hosts=["http://a:1"], tenant="t", headers={"X-Scope-OrgId": "u"})
    assert [name for name, _ in config.problems()] == ["tenant"]
