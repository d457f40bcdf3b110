"""What an OTLP server's answer says. Pure.

A success may be partial: it counts the records that were refused, and names none of them; it must not be sent again. Of
the failures only 429, 502, 503 and 504 ask for a repetition (``opentelemetry-proto``, ``docs/specification.md``,
"Failures").
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from agent.errors import NoAnswer, Paused, SendError
from agent.outputs.http_client.refusal import MAX_SAID_CHARS, one_line, refusal

_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"


class Malformed(ValueError):
    """The bytes are not the message they should be."""


class _Partial(msgspec.Struct, rename="camel"):
    rejected_log_records: int | str = 0
    error_message: str = ""


class _Response(msgspec.Struct, rename="camel"):
    partial_success: _Partial | None = None


class _Status(msgspec.Struct):
    message: str = ""


def partial_success(headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
    """How many records a success says were refused, and why. Header names: any case. Raises ``NoAnswer`` when it is not
    an OTLP server's: then nobody knows."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if not body:
            return 0, ""
        if kind == _PROTOBUF:
            partial = _fields(body).get(1, b"")
            if not isinstance(partial, bytes):
                raise Malformed
            inner = _fields(partial)
            rejected, said = inner.get(1, 0), inner.get(2, b"")
            if not isinstance(rejected, int) or not isinstance(said, bytes):
                raise Malformed
            return _count(rejected), one_line(said.decode("utf-8", "replace"))
        if kind == _JSON:
            found = msgspec.json.decode(body, type=_Response).partial_success or _Partial()
            return _count(int(found.rejected_log_records)), one_line(found.error_message)
    except (ValueError, RecursionError):  # msgspec's errors are
        pass
    raise NoAnswer(f"the answer is not that of an OTLP server ({kind or 'no content type'}): is this address right?")


def failure(status: int, headers: Mapping[str, str], body: bytes) -> SendError:
    """The error that a status other than success stands for."""
    trouble = refusal(status, headers, _said(status, headers, body), "an OTLP server")
    if isinstance(trouble, NoAnswer) and status not in (408, 502, 503, 504):
        return Paused(f"{trouble}: not to be sent again at once, says the protocol")
    return trouble


def _said(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """The message of a ``google.rpc.Status``, or whatever text it is."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    text = ""
    try:
        if kind == _PROTOBUF:
            message = _fields(body).get(2, b"")
            text = message.decode("utf-8", "replace") if isinstance(message, bytes) else ""
        elif kind == _JSON:
            text = msgspec.json.decode(body, type=_Status).message
        else:
            text = body[: 4 * MAX_SAID_CHARS].decode("utf-8", "replace")
    except (ValueError, RecursionError):
        pass
    return one_line(text) or f"status {status}"


def _count(rejected: int) -> int:
    """An ``int64``; a negative one makes no sense."""
    return rejected if 0 <= rejected < 2**63 else 0


def _fields(data: bytes) -> dict[int, int | bytes]:
    """The fields of a message by number, the last of each; fixed-size ones are passed over. Raises ``Malformed``."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                found[key >> 3], at = _varint(data, at)
            case 2:
                size, at = _varint(data, at)
                found[key >> 3] = data[at : at + size]
                at += size
            case 1:
                at += 8
            case 5:
                at += 4
            case _:
                raise Malformed
    if at != len(data):
        raise Malformed
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, at + position + 1
    raise Malformed
