"""A program with OpenTelemetry, as a source."""

from typing import Any

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from agent.inputs.contract import Input
from agent.inputs.otlp.config import OtlpConfig
from agent.inputs.otlp.input import OtlpInput
from agent.record import Batch
from tests.contract.sources.http import HttpSource


class OtlpSource(HttpSource):
    """A program that exports each line as a record's body, one request after another."""

    of_lines = False
    content_type = "application/x-protobuf"
    target = "/v1/logs"

    def input(self, positions: dict[str, bytes], **settings: Any) -> Input:
        """An otlp input on a unix socket."""
        settings.pop("linger", None)  # nothing lingers here
        return OtlpInput(OtlpConfig(**({"id": "it", "listen": f"unix:{self.path}"} | settings)))

    def body(self, data: bytes) -> bytes:
        """The lines as records; what is no text goes as bytes."""
        records = [LogRecord(body=_value(line)) for line in data.removesuffix(b"\n").split(b"\n")]
        scopes = [ScopeLogs(log_records=records)]
        request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=scopes)])
        posted: bytes = request.SerializeToString()
        return posted

    def lines(self, batch: Batch) -> list[bytes]:
        """The bodies of the records."""
        return [msgspec.json.decode(line)["message"].encode() for line in batch.lines]


def _value(line: bytes) -> AnyValue:
    try:
        return AnyValue(string_value=line.decode())
    except UnicodeDecodeError:
        return AnyValue(bytes_value=line)
