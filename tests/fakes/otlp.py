"""A server that takes log records over OTLP/HTTP, read by OpenTelemetry's own library. A poisoned record makes it
refuse the whole request, or with ``names_none`` itself alone, uncounted by name: a partial success."""

import base64
import json
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from tests.fakes.receiver import Receiver, Request

PROTOBUF = "application/x-protobuf"


class OtlpServer(Receiver):
    """Keeps each record's message under its ``log.record.uid``, and the whole requests as the library reads them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.exports: list[ExportLogsServiceRequest] = []
        self.names_none = False

    def answer(self, request: Request) -> web.Response:
        """200 in the type of the request; 400 for what is no export."""
        if request.method != "POST":
            return web.Response(status=405)
        kind = request.headers["content-type"]
        try:
            export = read(request)
        except (DecodeError, json_format.ParseError) as error:
            return web.Response(status=400, text=str(error))
        records = [(uid(record), record.body.string_value.encode()) for record in records_of(export)]
        good = [each for each in records if each[0] not in self.poisoned]
        response = ExportLogsServiceResponse()
        if len(good) < len(records):
            if not self.names_none:
                return web.Response(status=400, text="one of them is no good")
            response.partial_success.rejected_log_records = len(records) - len(good)
            response.partial_success.error_message = "some are no good"
        self.exports.append(export)
        self.keep(good)
        body = response.SerializeToString() if kind == PROTOBUF else json_format.MessageToJson(response).encode()
        return web.Response(body=body, content_type=kind)


def read(request: Request) -> ExportLogsServiceRequest:
    """The export of a request."""
    if request.headers["content-type"] == PROTOBUF:
        read: ExportLogsServiceRequest = ExportLogsServiceRequest.FromString(request.body)
        return read
    return read_json(request.body)


def read_json(body: bytes) -> ExportLogsServiceRequest:
    """The export in OTLP's JSON, whose ids are hexadecimal where protobuf's own JSON has base64."""
    whole = json.loads(body)
    for resource in whole.get("resourceLogs", []):
        for scope in resource.get("scopeLogs", []):
            for record in scope.get("logRecords", []):
                for name in ("traceId", "spanId"):
                    if name in record:
                        record[name] = base64.b64encode(bytes.fromhex(record[name])).decode()
    read: ExportLogsServiceRequest = json_format.ParseDict(whole, ExportLogsServiceRequest())
    return read


def records_of(export: ExportLogsServiceRequest) -> list[Any]:
    """All log records of an export."""
    return [r for resource in export.resource_logs for scope in resource.scope_logs for r in scope.log_records]


def uid(record: Any) -> str:
    """The id a record carries."""
    found: str = next(pair.value.string_value for pair in record.attributes if pair.key == "log.record.uid")
    return found
