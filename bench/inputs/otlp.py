"""Feeds of the input `otlp`: what an SDK's batch processor sends, protobuf, plain and gzip."""

import gzip
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from bench.inputs.feed import Feed
from bench.inputs.http import BATCH_CONNECTIONS, requests, send

BATCH = 512
"""Records of a request: the SDKs' default."""
START_NS = 1_795_341_600_000_000_000
_FIELDS = ("request_id", "latency_ms", "batch_size")


def protobuf(records: Sequence[bytes]) -> tuple[bytes, str]:
    """As the SDKs send it."""
    made = [_record(msgspec.json.decode(record)) for record in records]
    scopes = [ScopeLogs(scope=InstrumentationScope(name="scorer.predict"), log_records=made)]
    resource = Resource(attributes=[_attribute("service.name", "scorer"), _attribute("telemetry.sdk.name", "x")])
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=resource, scope_logs=scopes)])
    body: bytes = request.SerializeToString()
    return body, "Content-Type: application/x-protobuf\r\n"


def zipped(records: Sequence[bytes]) -> tuple[bytes, str]:
    """The same, gzip."""
    body, fields = protobuf(records)
    return gzip.compress(body, 1), fields + "Content-Encoding: gzip\r\n"


def _record(record: dict[str, object]) -> LogRecord:
    return LogRecord(
        time_unix_nano=START_NS,
        observed_time_unix_nano=START_NS + 1000,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
        body=AnyValue(string_value=str(record["message"])),
        attributes=[_attribute(name, record[name]) for name in _FIELDS],
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
    )


def _attribute(key: str, value: object) -> KeyValue:
    match value:
        case str():
            return KeyValue(key=key, value=AnyValue(string_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            raise TypeError(key)


def _feed(name: str, count: int, encode: Callable[[Sequence[bytes]], tuple[bytes, str]]) -> Feed:
    made = partial(requests, encode, "/v1/logs", BATCH)
    config = {"type": "otlp", "listen": "127.0.0.1:0"}
    return Feed(name, count, config, partial(send, made, BATCH_CONNECTIONS), prepare=made)


FEEDS = (_feed("otlp", 300_000, protobuf), _feed("otlp-gzip", 300_000, zipped))
