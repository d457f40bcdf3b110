"""The output `otlp`: what OpenTelemetry's own library reads of it, and what it makes of answers."""

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.otlp import protobuf, text
from agent.outputs.otlp.config import OtlpOutputConfig
from agent.outputs.otlp.output import OtlpOutput
from agent.outputs.otlp.record import MAX_DEPTH, number, record_of
from tests.fakes.otlp import PROTOBUF, OtlpServer, read_json, records_of
from tests.fakes.receiver import hangs_up, refuses
from tests.unit.http_outputs.sending import TIME_NS, Make, batch_of, check, send

WHOLE = {
    "@timestamp": "2026-11-22T11:00:00.123456789+01:00",
    "message": "scored",
    "log": {"level": "warning", "logger": "scorer", "origin": {"file": {"line": 7}}},
    "error": {"type": "ValueError"},
    "event": {"id": "run-1-0", "created": "2026-11-22T10:00:01.5Z", "severity": 30, "dataset": "modeltail.inference"},
    "ml": {"model": {"name": "fraud", "version": "3"}, "inputs": {"amount": 12.5, "tags": ["a", None, {"b": True}]}},
    "service": {"name": "scoring", "environment": "prod"},
    "host": {"name": "node-1"},
    "kubernetes": {"pod": {"name": "pod-1"}, "namespace": "ml"},
    "trace": {"id": "5b8efff798038103d269b633813fc60c"},
    "span": {"id": "eee19b7ec3c1b174"},
}


def output(**settings: Any) -> Make:
    """Makes the output."""
    return lambda url: OtlpOutput(OtlpOutputConfig(**{"id": "it", "hosts": [url], **settings}))


def both(*documents: bytes) -> ExportLogsServiceRequest:
    """What the library reads of the protobuf, once the JSON is known to say the same."""
    read: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(protobuf.request(map(record_of, documents)))
    assert read_json(text.request(map(record_of, documents))) == read
    return read


def plain(value: Any) -> Any:
    """An ``AnyValue`` as Python has it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)


def attributes(of: Any) -> dict[str, Any]:
    """Attributes by name, which are known to be different."""
    pairs = [(pair.key, plain(pair.value)) for pair in of.attributes]
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_each_part_of_a_document_has_its_place() -> None:
    """Body, times, severity, trace, resource, scope; all else is an attribute, under the conventions' name if any."""
    read = both(json.dumps(WHOLE).encode())
    (resource,) = read.resource_logs
    (scope,) = resource.scope_logs
    (record,) = scope.log_records
    assert attributes(resource.resource) == {
        "service.name": "scoring",
        "deployment.environment.name": "prod",
        "host.name": "node-1",
        "k8s.pod.name": "pod-1",
        "k8s.namespace.name": "ml",
    }
    assert scope.scope.name == "scorer"
    assert record.body.string_value == "scored"
    assert record.time_unix_nano == 1795341600_123456789
    assert record.observed_time_unix_nano == 1795341601_500000000
    assert (record.severity_text, record.severity_number) == ("warning", 13)
    assert record.trace_id.hex() == WHOLE["trace"]["id"]  # type: ignore[index]
    assert record.span_id.hex() == WHOLE["span"]["id"]  # type: ignore[index]
    assert attributes(record) == {
        "code.line.number": 7,
        "exception.type": "ValueError",
        "log.record.uid": "run-1-0",
        "event.dataset": "modeltail.inference",
        "ml.model.name": "fraud",
        "ml.model.version": "3",
        "ml.inputs.amount": 12.5,
        "ml.inputs.tags": ["a", None, {"b": True}],
    }


@pytest.mark.parametrize(
    ("members", "left"),
    [
        ({"@timestamp": "yesterday"}, {"@timestamp": "yesterday"}),
        ({"trace": {"id": "not hex"}}, {"trace.id": "not hex"}),
        ({"trace": {"id": "0" * 32}}, {"trace.id": "0" * 32}),
        ({"span": {"id": "EEE19B7EC3C1B174"}}, {"span.id": "EEE19B7EC3C1B174"}),
        ({"log": {"level": "info"}, "event": {"severity": 99}}, {"event.severity": 99}),
        ({"message": {"not": "text"}}, {"message.not": "text"}),
        ({"host": {"name": 7}}, {"host.name": 7}),
        ({"error": {"type": "a"}, "exception": {"type": "b"}}, {"error.type": "a", "exception.type": "b"}),
        ({"fields": {"a": {"b": 1}, "a.b": 2}}, {"fields.a.b": 1, "fields.a.b#1": 2}),
        ({"fields": {"x": {}, "y": []}}, {"fields.x": {}, "fields.y": []}),
    ],
)
def test_what_does_not_fit_its_place_stays_an_attribute(members: dict[str, Any], left: dict[str, Any]) -> None:
    """Nothing is lost for being odd, and no two have one name."""
    (record,) = records_of(both(json.dumps(members).encode()))
    assert attributes(record) == left


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("1" * 5000, "1" * 5000),
        ("1.1099999999999999", 1.1099999999999999),
        ("1.10", 1.1),
        ("1E2", 100.0),
        ("0.12345678901234567890", "0.12345678901234567890"),
        ("1e400", "1e400"),
        ("1e-400", "1e-400"),
        ("1e-99999999999999999999", "1e-99999999999999999999"),
    ],
)
def test_numbers_are_what_was_written_or_its_text(written: str, value: object) -> None:
    """A double only if it means exactly the same; an integer only if it fits."""
    (record,) = records_of(both(b'{"n":%b}' % written.encode()))
    found = attributes(record)["n"]
    assert (found, type(found)) == (value, type(value))


@given(st.from_regex(r"-?(0|[1-9]\d{0,20})(\.\d{1,20})?([eE][+-]?\d{1,3})?", fullmatch=True))
def test_double_means_what_its_text_does(written: str) -> None:
    """Or it stays text."""
    value = number(written)
    assert value == written or (isinstance(value, float) and Decimal(repr(value)) == Decimal(written))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(["message", "log", "trace", "fields", "host", "@timestamp"]), json_values)


def leaves(value: Any, top: bool = True) -> list[Any]:
    """The values that are not objects of objects, as they should come out."""
    if isinstance(value, dict) and value and top:
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    return [expected(value)]


def expected(value: Any) -> Any:
    """A value as the protocol can hold it."""
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items()}
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value)
    return value


@given(documents)
def test_every_value_of_any_document_arrives(content: dict[str, Any]) -> None:
    """As body, severity, resource, scope or attribute: as many as were written, each what it was."""
    read = both(json.dumps(content).encode())
    (record,) = records_of(read)
    (resource,) = read.resource_logs
    found = [*attributes(record).values(), *attributes(resource.resource).values()]
    if record.HasField("body"):
        found.append(record.body.string_value)
    scope = resource.scope_logs[0].scope.name
    found += [taken for taken in (scope, record.severity_text) if taken]
    wanted = leaves(content) if content else []
    missing = len(wanted) - len(found)  # an empty name or level is said by leaving it out
    assert 0 <= missing <= wanted.count("")
    assert sorted(map(repr, found)) == sorted(map(repr, [w for w in wanted if w != ""] + [""] * found.count("")))


def test_deep_nesting_becomes_text() -> None:
    """A decoder of protobuf gives up at a hundred levels; nothing is lost, and the library reads it."""
    deep = b'{"a":' * 200 + b"1" + b"}" * 200
    lists = b'{"l":' + b"[" * 200 + b"1" + b"]" * 200 + b"}"
    first, second = records_of(both(deep, lists))
    ((name, value),) = attributes(first).items()
    assert name == ".".join("a" * MAX_DEPTH)
    for depth in range(200 - MAX_DEPTH):
        value = json.loads(value) if isinstance(value, str) else value
        assert isinstance(value, dict), depth
        value = value["a"]
    assert value == 1
    ((name, value),) = attributes(second).items()
    for depth in range(200):
        value = json.loads(value) if isinstance(value, str) else value
        assert isinstance(value, list), depth
        (value,) = value
    assert value == 1


@pytest.mark.parametrize("document", [b"[1]", b"not json", b"{" * 5000, b'"x"'])
def test_document_that_cannot_be_taken_apart_is_the_body(document: bytes) -> None:
    """Whole, as text."""
    (record,) = records_of(both(document))
    assert record.body.string_value == document.decode()


def test_half_a_surrogate_pair_is_spelt_out() -> None:
    """UTF-8 cannot hold it, and a receiver refuses a message that tries."""
    (record,) = records_of(both(rb'{"message":"caf\u00e9 \ud83d","n":1.50}'))
    assert record.body.string_value == r"café \ud83d"
    assert attributes(record) == {"n": 1.5}


def test_long_names_are_not_remembered() -> None:
    """Whoever writes the log names the fields: thousands of names of a megabyte would be gigabytes."""
    before = len(protobuf._names), len(protobuf._remembered)
    fields = {f"{i}" * 100: value for i, value in enumerate(["text", 1, 0.5, [True]])}
    protobuf.request([record_of(json.dumps(fields).encode())])
    assert (len(protobuf._names), len(protobuf._remembered)) == before


def test_records_of_one_resource_travel_together() -> None:
    """In their order; another resource or logger is another group."""
    hosts = ["a", "b", "a", "a"]
    made = [json.dumps({"message": str(i), "host": {"name": host}}).encode() for i, host in enumerate(hosts)]
    read = both(*made)
    said = [[r.body.string_value for s in group.scope_logs for r in s.log_records] for group in read.resource_logs]
    assert said == [["0", "2", "3"], ["1"]]


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_request_is_read_by_the_library(encoding: str) -> None:
    """Compressed, at the path of the protocol, with the type it has."""
    server = OtlpServer()
    assert send(server, output(encoding=encoding), batch_of("a", "b")) == [Outcome()]
    assert server.records == [("a", b"record a"), ("b", b"record b")]
    assert [record.time_unix_nano for record in records_of(server.exports[0])] == [TIME_NS, TIME_NS]
    assert (server.requests[0].target, server.requests[0].headers["content-encoding"]) == ("/v1/logs", "gzip")


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_partial_success_is_counted_and_not_sent_again(encoding: str) -> None:
    """The server does not say which: they count as delivered, and how many is known."""
    server = OtlpServer()
    server.names_none = True
    server.poisoned |= {"b", "c"}
    assert send(server, output(encoding=encoding), batch_of("a", "b", "c")) == [Outcome(refused_unnamed=2)]


def test_partial_success_that_takes_nothing_names_them_all() -> None:
    """Then each is refused for good, with the reason."""
    server = OtlpServer()
    server.names_none = True
    server.poisoned |= {"a", "b"}
    reason = "some are no good"
    assert send(server, output(), batch_of("a", "b")) == [Outcome(rejected={0: reason, 1: reason})]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Paused),
        (404, Paused),
        (413, TooLarge),
        (429, Retryable),
        (500, Paused),
        (501, Paused),
        (502, NoAnswer),
        (503, NoAnswer),
        (504, NoAnswer),
    ],
)
def test_every_status_has_its_meaning(status: int, kind: type[SendError]) -> None:
    """Only 429, 502, 503 and 504 are for sending again soon; the message of the status is quoted."""
    said = b"\x08\x0d\x12\x07because"
    (end,) = send(OtlpServer(), output(), batch_of("a"), faults=[refuses(status, said, PROTOBUF, retry_after="3")])
    assert type(end) is kind
    assert status == 413 or "because" in str(end)
    if isinstance(end, Retryable):
        assert end.retry_after_secs == 3.0


def test_failure_nested_without_end_is_a_failure() -> None:
    """What cannot be read of it is not quoted."""
    said = b'{"details":' + b"[" * 20_000
    (end,) = send(OtlpServer(), output(), batch_of("a"), faults=[refuses(503, said, "application/json")])
    assert (type(end), str(end)) == (NoAnswer, "status 503")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>sign in</html>", "text/html"),
        (b"<html>", PROTOBUF),
        (b"\x0a\x05\x08", PROTOBUF),
        (b"\xff" * 20, PROTOBUF),
        (b"not json", "application/json"),
        (b'{"partialSuccess":{"x":' + b"[" * 20_000, "application/json"),
        (b'{"partialSuccess":{"rejectedLogRecords":"x"}}', "application/json"),
    ],
)
def test_success_of_somebody_else_is_no_success(body: bytes, kind: str) -> None:
    """A login page says 200 too."""
    (end,) = send(OtlpServer(), output(), batch_of("a"), faults=[refuses(200, body, kind)])
    assert type(end) is NoAnswer


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "text/plain"),
        (b"", PROTOBUF),
        (b"{}", "application/json"),
        (b'{"partialSuccess":{"rejectedLogRecords":"0"}}', "application/json; charset=utf-8"),
        (ExportLogsServiceResponse().SerializeToString(), PROTOBUF),
    ],
)
def test_full_success_is_understood_in_every_form(body: bytes, kind: str) -> None:
    """With and without a word about partial success."""
    assert send(OtlpServer(), output(), batch_of("a"), faults=[refuses(200, body, kind)]) == [Outcome()]


def test_lost_answer_leaves_it_open() -> None:
    """OTLP has nothing by which a repeat would be known."""
    server = OtlpServer()
    ends = send(server, output(), batch_of("a"), batch_of("a"), faults=[hangs_up(taken=True)])
    assert [isinstance(ends[0], NoAnswer), ends[1]] == [True, Outcome()]
    assert [record for record, _ in server.records] == ["a", "a"]


def test_check_sends_no_record() -> None:
    """A request without any is what the protocol has for asking."""
    server = OtlpServer()
    assert check(server, output()) == []
    assert (len(server.exports), server.records) == (1, [])
    assert check(OtlpServer(), output(), refuses(401, "who are you")) == ["wrong credentials: who are you"]
    assert check(OtlpServer(), output(), refuses(200, "<html>", "text/html"))[0].startswith("the answer is not that")
    assert "is this address an OTLP server's?" in check(OtlpServer(), output(), refuses(400, "no handler found"))[0]


def test_infinity_is_not_made() -> None:
    """From no text."""
    assert not any(isinstance(value, float) and math.isinf(value) for value in map(number, ("1e309", "-1e999")))
