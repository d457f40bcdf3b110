"""The ``otlp`` input: OpenTelemetry's log records over HTTP.

Format: ``opentelemetry-proto``, ``docs/specification.md``, OTLP/HTTP. What could not be taken is named in a partial
success, which a client must not send again; 429 and 503 ask it to, and nothing else does.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from agent.inputs.http.answers import Answer, Refusal, Refused
from agent.inputs.http.dialect import Headers
from agent.inputs.http.formats import gathered
from agent.inputs.http.receiver import Receiver
from agent.inputs.lines import Cut
from agent.inputs.otlp import text, wire
from agent.inputs.otlp.config import OtlpConfig

PATH: Final = "/v1/logs"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_GRPC_CODES: Final = {400: 3, 401: 16, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
_UNKNOWN: Final = 2

Lines = Callable[[bytes, int, Refused], Iterator[bytes]]


class OtlpInput(Receiver):
    """Listens until asked to stop."""

    def __init__(self, config: OtlpConfig) -> None:
        super().__init__(config, OtlpDialect(config.max_line))


class OtlpDialect:
    """``POST /v1/logs``; answered in the type of the request."""

    path = PATH
    all_or_nothing = False

    def __init__(self, max_record: int) -> None:
        self._max_record = max_record

    def meet(self, headers: Headers) -> "_Exchange":
        """Raises ``Refusal`` for what is neither protobuf nor JSON, and for protobuf where it is not installed."""
        kind = _kind(headers)
        if kind == JSON:
            return _Exchange(kind, text.lines, self._max_record)
        if kind != PROTOBUF:
            raise Refusal(415, f"this Content-Type is not understood; send {PROTOBUF} or {JSON}")
        try:
            from agent.inputs.otlp import protobuf
        except ImportError:
            raise Refusal(
                415, "protobuf is not installed here (pip install 'modeltail[otlp]'); send application/json"
            ) from None
        return _Exchange(kind, protobuf.lines, self._max_record)

    def refuse(self, headers: Headers, refusal: Refusal) -> Answer:
        """A ``google.rpc.Status``."""
        code = _GRPC_CODES.get(refusal.status, _UNKNOWN)
        if _kind(headers) == PROTOBUF:
            return Answer(refusal.status, wire.status(code, refusal.reason), PROTOBUF)
        return Answer(refusal.status, msgspec.json.encode({"code": code, "message": refusal.reason}))


class _Exchange:
    def __init__(self, kind: str, lines: Lines, max_record: int) -> None:
        self._kind = kind
        self._lines = lines
        self._max_record = max_record

    def cuts(self, body: bytes, refused: Refused) -> Iterator[Cut]:
        return gathered(self._lines(body, self._max_record, refused))

    def answer(self, accepted: int, refused: Refused) -> Answer:
        message = "; ".join(f"record {number}: {reason}" for number, reason in refused.first)
        if self._kind == PROTOBUF:
            return Answer(200, wire.response(refused.count, message), PROTOBUF)
        if not refused.count:
            return Answer(200, b"{}")
        partial = {"rejectedLogRecords": str(refused.count), "errorMessage": message}
        return Answer(200, msgspec.json.encode({"partialSuccess": partial}))


def _kind(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()
