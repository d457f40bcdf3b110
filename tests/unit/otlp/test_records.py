"""From requests to lines: both encodings to the same, every value as it was said."""

import base64
import json
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from agent.inputs.http.answers import Refusal, Refused
from agent.inputs.otlp import protobuf, text, wire
from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.record import Batch, Counts

MAX_RECORD = 1024**2
LAST = 2**64 - 1

plain = st.one_of(
    st.text().map(lambda v: AnyValue(string_value=v)),
    st.booleans().map(lambda v: AnyValue(bool_value=v)),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: AnyValue(int_value=v)),
    st.floats().map(lambda v: AnyValue(double_value=v)),
    st.binary(max_size=8).map(lambda v: AnyValue(bytes_value=v)),
    st.just(AnyValue()),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v))),
        st.lists(st.builds(KeyValue, key=st.text(), value=inner), max_size=3).map(
            lambda v: AnyValue(kvlist_value=KeyValueList(values=v))
        ),
    ),
    max_leaves=5,
)
attributes = st.lists(st.builds(KeyValue, key=st.text(max_size=3), value=values), max_size=4)
records = st.builds(
    LogRecord,
    time_unix_nano=st.integers(0, LAST),
    observed_time_unix_nano=st.integers(0, LAST),
    severity_number=st.integers(0, 24),
    severity_text=st.sampled_from(["", "INFO", "odd\n"]),
    body=values,
    attributes=attributes,
    trace_id=st.binary(min_size=16, max_size=16),
    span_id=st.binary(min_size=8, max_size=8),
    flags=st.integers(0, 255),
    event_name=st.sampled_from(["", "browser.load"]),
)
requests = st.builds(
    lambda resource, scope, records: request(*records, resource=resource, scope=scope),
    attributes,
    st.builds(InstrumentationScope, name=st.text(), version=st.text(), attributes=attributes),
    st.lists(records, max_size=4),
)


def request(
    *records: LogRecord, resource: Any = (), scope: InstrumentationScope | None = None
) -> ExportLogsServiceRequest:
    """A request of one scope."""
    scopes = [ScopeLogs(scope=scope or InstrumentationScope(), log_records=records)]
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=Resource(attributes=list(resource)), scope_logs=scopes)]
    )


def as_json(message: ExportLogsServiceRequest) -> bytes:
    """OTLP's JSON of a request: ids in hex, enumerations as numbers."""
    plain = MessageToDict(message, use_integers_for_enums=True)
    for resource_logs in plain.get("resourceLogs", ()):
        for scope_logs in resource_logs.get("scopeLogs", ()):
            for record in scope_logs.get("logRecords", ()):
                for name in ("traceId", "spanId"):
                    if name in record:
                        record[name] = base64.b64decode(record[name]).hex()
    return json.dumps(plain).encode()


def attribute(key: str, **value: Any) -> KeyValue:
    """One attribute."""
    return KeyValue(key=key, value=AnyValue(**value))


def lines(message: ExportLogsServiceRequest) -> list[bytes]:
    """Its records as lines."""
    refused = Refused()
    made = list(protobuf.lines(message.SerializeToString(), MAX_RECORD, refused))
    assert refused.count == 0
    return made


def document(message: ExportLogsServiceRequest) -> dict[str, Any]:
    """The places the first record fills, once normalised."""
    batch = Batch("in", None, 0, lines(message), {}, {}, Counts(1, 1))
    table = Normaliser(NormaliseSettings())(batch).tables[0]
    columns = zip(table.places, table.columns, strict=True)
    return {place: json.loads(bytes(column[0])) for place, column in columns}


def test_a_record_of_the_sdk_fills_its_places() -> None:
    """Time to the nanosecond, level, ids, where in the code, the exception, the service."""
    record = LogRecord(
        time_unix_nano=1763805600123456789,
        observed_time_unix_nano=1763805600123456999,
        severity_number=SeverityNumber.SEVERITY_NUMBER_ERROR,
        severity_text="ERROR",
        body=AnyValue(string_value="no such model"),
        trace_id=bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        span_id=bytes.fromhex("b7ad6b7169203331"),
        event_name="model.failed",
        attributes=[
            attribute("exception.type", string_value="KeyError"),
            attribute("exception.message", string_value="'m'"),
            attribute("code.file.path", string_value="/app/serve.py"),
            attribute("code.line.number", int_value=12),
            attribute("code.function.name", string_value="predict"),
            attribute("gen_ai.request.model", string_value="m"),
            attribute("gen_ai.usage.input_tokens", int_value=12),
            attribute("http.response.status_code", int_value=500),
            attribute("tenant", string_value="a"),
        ],
    )
    resource = [
        attribute("service.name", string_value="scorer"),
        attribute("service.version", string_value="1.2"),
        attribute("deployment.environment.name", string_value="prod"),
        attribute("service.instance.id", string_value="i-1"),
        attribute("host.name", string_value="theirs"),
    ]
    found = document(request(record, resource=resource, scope=InstrumentationScope(name="serve")))
    assert found.pop("fields.severity_number") == 17
    assert found.pop("event.severity") == 40
    assert found == {
        "@timestamp": "2025-11-22T10:00:00.123456789Z",
        "fields.observed_time_unix_nano": 1763805600123456999,
        "message": "no such model",
        "log.level": "error",
        "log.logger": "serve",
        "log.origin.file.name": "/app/serve.py",
        "log.origin.file.line": 12,
        "log.origin.function": "predict",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
        "span.id": "b7ad6b7169203331",
        "event.action": "model.failed",
        "error.type": "KeyError",
        "error.message": "'m'",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "http.response.status_code": 500,
        "service.name": "scorer",
        "service.version": "1.2",
        "service.environment": "prod",
        "service.node.name": "i-1",
        "fields.resource.host.name": "theirs",
        "fields.tenant": "a",
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (AnyValue(int_value=2**63 - 1), b"9223372036854775807"),
        (AnyValue(double_value=1.1099999999999999), b"1.1099999999999999"),
        (AnyValue(double_value=1e300), b"1e+300"),
        (AnyValue(double_value=float("nan")), b"NaN"),
        (AnyValue(double_value=float("-inf")), b"-Infinity"),
        (AnyValue(bool_value=False), b"false"),
        (AnyValue(bytes_value=b"\xff\x00"), b'"/wA="'),
        (AnyValue(string_value='a"\n'), b'"a\\"\\n"'),
        (AnyValue(string_value=""), b'""'),
        (AnyValue(), b"null"),
        (AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue()])), b"[1,null]"),
        (AnyValue(kvlist_value=KeyValueList(values=[attribute("k", int_value=1)])), b'{"k":1}'),
    ],
)
def test_values_are_written_as_they_were_said(value: AnyValue, written: bytes) -> None:
    """To the last digit, in both encodings."""
    message = request(LogRecord(attributes=[KeyValue(key="it", value=value)]))
    assert lines(message) == [b'{"it":%b}' % written]
    assert list(text.lines(as_json(message), MAX_RECORD, Refused())) == [b'{"it":%b}' % written]


def test_numbers_in_json_keep_their_text() -> None:
    """As numbers or in quotes, whatever a float of ours would make of them."""
    body = b"""{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 9, "unknown": [1],
        "timeUnixNano": "1763805600000000001", "body": {"doubleValue": 1.10}, "attributes": [
        {"key": "a", "value": {"intValue": "9007199254740993"}}, {"key": "b", "value": {"intValue": 12}},
        {"key": "c", "value": {"doubleValue": "NaN"}}, {"key": "d", "value": {"doubleValue": 1e400}},
        {"key": "e", "value": {"stringValue": "12"}}, {"key": "f", "value": null},
        {"key": "g", "value": {"stringValue": null}}]}]}]}]}"""
    (line,) = text.lines(body, MAX_RECORD, Refused())
    assert line == (
        b'{"@timestamp":"2025-11-22T10:00:00.000000001Z","message":1.10,"severity_number":9,'
        b'"a":9007199254740993,"b":12,"c":NaN,"d":1e400,"e":"12","f":null,"g":null}'
    )


def test_a_map_as_body_is_the_record() -> None:
    """Its members are read as those of a JSON line; what the record says of itself beside it is kept too."""
    body = AnyValue(
        kvlist_value=KeyValueList(
            values=[attribute("msg", string_value="scored"), attribute("latency_ms", double_value=2.5)]
        )
    )
    found = document(request(LogRecord(body=body, attributes=[attribute("msg", string_value="other")])))
    assert found["message"] == "scored"
    assert found["event.duration"] == 2_500_000
    assert found["fields.attributes.msg"] == "other"


def test_the_time_of_observation_stands_in() -> None:
    """Where the record has no time; where it has neither, the time of reading does."""
    (line,) = lines(request(LogRecord(observed_time_unix_nano=1)))
    assert line == b'{"@timestamp":"1970-01-01T00:00:00.000000001Z"}'
    assert document(request(LogRecord()))["labels.timestamp"] == "read"


def test_names_that_meet_are_kept_apart() -> None:
    """Nothing a sender said is overwritten by something else it said."""
    twice = [attribute("k", int_value=1), attribute("k", int_value=2), attribute("k", int_value=3)]
    record = LogRecord(body=AnyValue(string_value="m"), attributes=[*twice, attribute("message", int_value=4)])
    (line,) = lines(request(record, resource=[attribute("service.name", int_value=5)] * 2))
    assert sorted(json.loads(line).values(), key=str) == [1, 2, 3, 4, 5, 5, "m"]


@given(requests)
def test_both_encodings_come_to_the_same(message: ExportLogsServiceRequest) -> None:
    """For any request; and each line is a record the normaliser reads."""
    made = lines(message)
    refused = Refused()
    from_json = list(text.lines(as_json(message), MAX_RECORD, refused))
    assert refused.count == 0
    assert [_decoded(line) for line in from_json] == [_decoded(line) for line in made]
    batch = Batch("in", None, 0, made, {}, {}, Counts(len(made), 1))
    assert sum(len(table.rows) for table in Normaliser()(batch).tables) == len(made)
    assert "parse_failed" not in batch.counts.noted


@given(requests, st.data())
def test_what_is_cut_off_or_broken_is_refused(message: ExportLogsServiceRequest, data: st.DataObject) -> None:
    """A request that is none, by a refusal; a record that is none, by its number; nothing else happens."""
    for encoded, read in ((message.SerializeToString(), protobuf.lines), (as_json(message), text.lines)):
        at = data.draw(st.integers(0, len(encoded)))
        broken = encoded[:at] + data.draw(st.binary(max_size=3)) + encoded[at + data.draw(st.integers(0, 9)) :]
        refused = Refused()
        try:
            made = list(read(broken, MAX_RECORD, refused))
        except Refusal:
            continue
        assert not any(b"\n" in line for line in made)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_none(body: bytes) -> None:
    """In either encoding."""
    for read in (protobuf.lines, text.lines):
        try:
            list(read(body, MAX_RECORD, Refused()))
        except Refusal as refusal:
            answer = wire.status(3, refusal.reason)
            assert answer.startswith(b"\x08\x03\x12")


def test_one_broken_record_does_not_take_the_others_along() -> None:
    """It is refused by number."""
    good = LogRecord(body=AnyValue(string_value="good")).SerializeToString()
    broken = b"\x2a\x03\x0a\x01\xff"  # a body whose string is no UTF-8
    records = b"".join(b"\x12" + bytes((len(each),)) + each for each in (good, broken, good))
    scope = b"\x12" + bytes((len(records),)) + records
    body = b"\x0a" + bytes((len(scope),)) + scope
    refused = Refused()
    assert len(list(protobuf.lines(body, MAX_RECORD, refused))) == 2
    assert [number for number, _ in refused.first] == [2]
    with_json = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"traceId":"xyz"},{"severityNumber":"x"},{}]}]}]}'
    refused = Refused()
    assert len(list(text.lines(with_json, MAX_RECORD, refused))) == 2
    assert [number for number, _ in refused.first] == [2, 3]


def test_a_record_too_long_is_refused_by_number() -> None:
    """Before it is decoded."""
    message = request(LogRecord(body=AnyValue(string_value="x" * 100)), LogRecord())
    for encoded, read in ((message.SerializeToString(), protobuf.lines), (as_json(message), text.lines)):
        refused = Refused()
        assert list(read(encoded, 64, refused)) == [b"{}"]
        assert refused.count == 1


def test_requests_of_countless_empty_messages_are_refused() -> None:
    """They would take a hundred times their bytes once decoded."""
    records = b"\x12\x00" * (wire.MAX_RECORDS + 1)
    with pytest.raises(Refusal):
        list(protobuf.lines(_field(1, _field(2, records)), MAX_RECORD, Refused()))
    with pytest.raises(Refusal):
        list(protobuf.lines(_field(1, b"\x12\x00" * (wire.MAX_SCOPES + 1)), MAX_RECORD, Refused()))
    with pytest.raises(Refusal):
        list(text.lines(b"[" + b"{}," * text.MAX_MEMBERS + b"{}]", MAX_RECORD, Refused()))


def test_the_answer_says_how_many_were_rejected() -> None:
    """As the message of the protocol; nothing at all when all were taken."""
    answer = ExportLogsServiceResponse.FromString(wire.response(300, "record 1: é"))
    assert answer.partial_success.rejected_log_records == 300
    assert answer.partial_success.error_message == "record 1: é"
    assert wire.response(0, "") == b""


def _decoded(line: bytes) -> Any:
    return json.loads(line, parse_constant=str)  # NaN is not equal to itself


def _field(number: int, content: bytes) -> bytes:
    size = len(content)
    encoded = bytes(size >> shift & 0x7F | 0x80 for shift in (0, 7, 14)) + bytes((size >> 21,))
    return bytes((number << 3 | 2,)) + encoded + content


def test_remembered_keys_are_bounded() -> None:
    """A sender that invents names costs no memory."""
    from agent.inputs.otlp import document as module

    for n in range(3):
        made = [attribute(f"{n}-{i}", int_value=i) for i in range(3000)]
        assert msgspec.json.decode(lines(request(LogRecord(attributes=made)))[0])[f"{n}-0"] == 0
    assert len(module._keys) <= 4096
