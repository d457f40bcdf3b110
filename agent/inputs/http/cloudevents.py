"""CloudEvents 1.0 over HTTP, as the inference loggers of KServe and Seldon send them: requests to lines of JSON.

Source: the CloudEvents specification 1.0.2 and its HTTP protocol binding.

============ ================================================= ====================================================
mode         told by                                           event
============ ================================================= ====================================================
binary       a header ``Ce-Specversion`` or ``Ce-Type``        ``Ce-*`` headers are the attributes, the body the data
structured   ``Content-Type: application/cloudevents+json``    one object; ``data``, or ``data_base64``
batched      ``application/cloudevents-batch+json``            an array of such objects
============ ================================================= ====================================================

The line of an event is its data, if that is an object, with these members added; any other data is one member more.
Where the data has a member of that name itself, the attribute stays with the others.

======================================== ============================================================================
``@timestamp``                           ``time``
``ml.inference.id``                      ``requestid`` (Seldon) or ``id``, the same for a request and its response
``ml.inference.phase``                   ``request`` or ``response``, by the end of ``type``
``ml.model.name``                        ``modelid`` (Seldon) or ``inferenceservicename``, unless the body names it
``kubernetes.namespace``                 ``namespace``
``trace.id``, ``span.id``                ``traceparent``
``inputs``, ``outputs``, ``data``        data that is no object, of a request, a response, anything else
``cloudevent``                           every attribute as it came, but ``specversion``, ``time`` and what went to
                                         a place in its own words
======================================== ============================================================================

Only events whose type says that they are of an inference (``….inference.request``, ``….inference.response``) get the
``ml.`` places. Data that is no JSON is kept as ``{"content_type": …, "text": …}``, or ``"base64"`` where it is no text.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from agent.processors.normalise.tolerant import Record, decode, walk
from agent.values import Value, is_object, is_string, on_one_line, quote, unquote

_STRUCTURED: Final = "application/cloudevents+json"
_BATCHED: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_DATA: Final = frozenset(("data", "data_base64", "datacontenttype"))
_INFERENCE: Final = re.compile(r".*\.inference\.(request|response)", re.DOTALL).fullmatch
_VERSION: Final = re.compile(r"1\.\d+", re.ASCII).fullmatch
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?").fullmatch
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_NAMES_THE_MODEL: Final = frozenset(("model_name", "model.name", "ml.model.name"))
_WHERE: Final = {"request": "inputs", "response": "outputs"}

_objects: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Problem(NamedTuple):
    """What is wrong with one event: its index within the request, and a sentence."""

    at: int
    sentence: str


class Events(NamedTuple):
    """A request's good events as lines of JSON, in order, and what is wrong with the others."""

    lines: list[bytes]
    problems: list[Problem]


class _Data(NamedTuple):
    """An event's data as the text of a JSON value. ``is_record``: an object whose members are the record's own."""

    value: bytes
    is_record: bool


class _Unfit(ValueError):
    """One event cannot be taken; the message says why."""


def claims(headers: Mapping[str, str]) -> bool:
    """Whether a request brings events, by its headers alone, which are asked without regard to case."""
    return (
        "ce-specversion" in headers
        or "ce-type" in headers
        or _media(headers.get("content-type", "")) in (_STRUCTURED, _BATCHED)
    )


def read_events(headers: Mapping[str, str], body: bytes) -> Events:
    """The events of a request that brings some; its body is without its encoding."""
    attributes = {name.lower(): value for name, value in headers.items()}
    content_type = attributes.get("content-type", "")
    media = _media(content_type)
    if media == _BATCHED:
        return _read(_batch(body))
    if media == _STRUCTURED:
        return _read(iter([body]))
    try:
        return Events([_binary(attributes, content_type, body)], [])
    except _Unfit as error:
        return Events([], [Problem(0, str(error))])


def _read(events: Iterator[bytes]) -> Events:
    found = Events([], [])
    index = 0
    while True:
        try:
            event = next(events, None)
            if event is None:
                return found
            found.lines.append(_structured(event))
        except _Unfit as error:
            found.problems.append(Problem(index, str(error)))
        index += 1


def _batch(body: bytes) -> Iterator[bytes]:
    """The events of an array. Raises ``_Unfit`` if it is none."""
    try:
        events = _objects(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Unfit(f"the batch is not a JSON array: {error}") from None
    yield from map(bytes, events)


def _binary(headers: Mapping[str, str], content_type: str, body: bytes) -> bytes:
    attributes: Record = {
        name.removeprefix("ce-"): quote(_unescaped(value)) for name, value in headers.items() if name.startswith("ce-")
    }
    return _line(attributes, _data_of(body, content_type))


def _structured(event: bytes) -> bytes:
    try:
        event.decode()
        attributes = _members(event)
    except (ValueError, RecursionError) as error:
        raise _Unfit(f"the event is not a JSON object: {error}") from None
    content_type = _text(attributes.get("datacontenttype"))
    data = attributes.get("data")
    encoded = attributes.get("data_base64")
    value: _Data | None = None
    if encoded is not None:
        try:
            value = _data_of(base64.b64decode(_text(encoded), validate=True), content_type)
        except ValueError:
            raise _Unfit("the attribute `data_base64` is not base64") from None
    elif data is not None and is_string(bytes(data)) and content_type and not _is_json(content_type):
        value = _described(content_type, "text", bytes(data))
    elif data is not None and bytes(data) != b"null":
        value = _given(_compact(bytes(data)))
    return _line({name: each for name, each in attributes.items() if name not in _DATA}, value)


def _line(attributes: Record, data: _Data | None) -> bytes:
    """The line of one event. Raises ``_Unfit`` when a required attribute is missing or wrong."""
    for name in _REQUIRED:
        if not _text(attributes.get(name)):
            raise _Unfit(f"the attribute `{name}` is missing or no text; CloudEvents require it")
    version = _text(attributes.pop("specversion"))
    if not _VERSION(version):
        raise _Unfit(f"the attribute `specversion` is {version[:20]!r}; only CloudEvents 1.0 are understood")
    inference = _INFERENCE(_text(attributes["type"]))
    phase = inference[1] if inference else ""
    if data is None:
        text = b"{}"
    elif data.is_record:
        text = data.value
    else:
        text = b"{%b:%b}" % (quote(_WHERE.get(phase, "data")), data.value)
    members = _members(text)
    places = dict(_places(attributes, phase, members))
    rest = {name: _compact(bytes(value)) for name, value in attributes.items()}
    name = "cloudevent"
    while name in members:
        name += "_"
    head = [b"%b:%b" % (quote(place), value) for place, value in places.items()]
    head.append(b"%b:{%b}" % (quote(name), b",".join(b"%b:%b" % (quote(k), v) for k, v in rest.items())))
    inside = text[1:-1].strip()
    return b"{%b}" % b",".join([*head, *([inside] if inside else [])])


def _places(attributes: Record, phase: str, members: Record) -> Iterator[tuple[str, bytes]]:
    """The places attributes fill. One whose text stands there as it came is taken out of the attributes."""
    claims = [("@timestamp", "time"), ("kubernetes.namespace", "namespace")]
    if phase:
        claims.append(("ml.inference.id", "requestid" if _text(attributes.get("requestid")) else "id"))
    for place, attribute in claims:
        if place not in members and _text(attributes.get(attribute)):
            yield place, bytes(attributes.pop(attribute))
    if phase:
        if "ml.inference.phase" not in members:
            yield "ml.inference.phase", quote(phase)
        if _NAMES_THE_MODEL.isdisjoint(members):
            model = _text(attributes.get("modelid")) or _text(attributes.get("inferenceservicename"))
            if model:
                yield "ml.model.name", quote(model)
    if (trace := _TRACEPARENT(_text(attributes.get("traceparent")))) and "trace.id" not in members:
        yield "trace.id", quote(trace[1])
        if "span.id" not in members:
            yield "span.id", quote(trace[2])
    metadata = _text(attributes.get("metadata"))
    if metadata.startswith("{"):  # KServe sends the headers it was told to keep as JSON in a string
        attributes["metadata"] = _json(metadata.encode("utf-8", "surrogatepass")) or attributes["metadata"]


def _data_of(body: bytes, content_type: str) -> _Data | None:
    """A body; None if there is none. What begins like an object or an array is tried as
    JSON whatever it is called: few senders say what they send."""
    if not body:
        return None
    begins = body.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] in (b"{", b"[")
    if (begins or _is_json(content_type)) and (value := _json(body)) is not None:
        return _given(value)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return _described(content_type, "base64", quote(base64.b64encode(body).decode()))
    return _described(content_type, "text", quote(text))


def _given(value: bytes) -> _Data:
    return _Data(value, is_object(value))


def _described(content_type: str, kind: str, value: bytes) -> _Data:
    said = b'"content_type":%b,' % quote(content_type) if content_type else b""
    return _Data(b"{%b%b:%b}" % (said, quote(kind), value), is_record=False)


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(content_type: str) -> bool:
    media = _media(content_type)
    return not media or media.endswith(("/json", "+json"))


def _json(body: bytes) -> bytes | None:
    """The value on one line, if it is JSON as Python reads it."""
    body = body.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
    try:
        body.decode()
        return msgspec.json.format(body, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    if not body.startswith(b"{"):
        return None
    try:
        walk(body.decode())
    except (ValueError, RecursionError):
        return None
    return _compact(body)


def _compact(value: bytes) -> bytes:
    """A value that is known to be readable, on one line. What only Python reads (``NaN``) stays for whoever counts it;
    the newlines between its parts become spaces."""
    return on_one_line(value).replace(b"\r", b" ")


def _members(value: bytes) -> Record:
    """The members of an object. Raises ``ValueError`` or ``RecursionError``."""
    try:
        return decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return walk(value.decode()).members


def _text(value: Value | None) -> str:
    """The string a value is; empty if it is none."""
    return unquote(bytes(value)) if value is not None and is_string(bytes(value)) else ""


def _unescaped(value: str) -> str:
    """An attribute out of its header (HTTP protocol binding, section 3.1.3.2): quotes go, then percent signs."""
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    if "%" not in value:
        return value
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        return value
