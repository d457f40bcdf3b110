"""From documents to a push: streams by their labels, a line for each document, its time in nanoseconds. Pure.

The JSON form of ``POST /loki/api/v1/push`` (Grafana Loki 3, "Loki HTTP API", ingest logs)::

    {"streams": [{"stream": {LABEL: VALUE, …}, "values": [[NANOSECONDS, LINE, {NAME: VALUE, …}], …]}, …]}

All of it follows from the document alone, its time too. So a line that is sent once more is the same to the last bit,
and Loki, which shows a line of the same stream, time and text once, can recognise it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from agent.outputs.instant import unix_ns
from agent.values import quote

MAX_VALUE_CHARS: Final = 512
"""Longer values of labels and metadata are cut: Loki refuses labels of more than 2,048 bytes."""

NO_LABELS: Final = (("service_name", "unknown_service"),)
"""A stream must have a label; this one Loki itself gives where it finds none."""

_MILLIS_DIGITS: Final = 12
_TIMES: Final = ("@timestamp", "event.created")

Labels = tuple[tuple[str, str], ...]


class Entry(msgspec.Struct):
    """A line, ready to be sent. ``value`` is the JSON text of time, line and metadata."""

    labels: Labels
    time_ns: int
    value: bytes


class Shape:
    """What is read of a document: the places of its labels, of the metadata and of its times; nothing else of it is
    decoded."""

    def __init__(self, labels: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        self._labels = [(name, place.split(".")) for name, place in sorted(labels.items())]
        self._metadata = [(name, place.split(".")) for name, place in metadata.items()]
        self._times = [place.split(".") for place in _TIMES]
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode

    def entries(self, ids: Sequence[str], documents: Sequence[bytes]) -> list[Entry]:
        """An entry for each document."""
        return [self._entry(record, document) for record, document in zip(ids, documents, strict=True)]

    def _entry(self, record: str, document: bytes) -> Entry:
        content = self._read(document)
        labels = tuple([(name, text) for name, path in self._labels if (text := _text(content, path))])
        time_ns = self._time_ns(content) or _made_at_ns(record)
        line = quote(document.decode("utf-8", "replace"))
        metadata = [(name, text) for name, path in self._metadata if (text := _text(content, path))]
        beside = b"," + _object(metadata) if metadata else b""
        return Entry(labels or NO_LABELS, time_ns, b'["%d",%b%b]' % (time_ns, line, beside))

    def _read(self, document: bytes) -> Any:
        """The document, as far as it can be read: msgspec refuses half a surrogate pair anywhere in it."""
        try:
            return self._decode(document)
        except ValueError:
            try:
                return json.loads(document, parse_int=str)  # an int of over 4,300 digits would be refused
            except (ValueError, RecursionError):
                return None

    def _time_ns(self, content: Any) -> int | None:
        for path in self._times:
            text = _text(content, path)
            if text and (time_ns := unix_ns(text)):
                return time_ns
        return None


def push(entries: Iterable[Entry]) -> bytes:
    """The body of a push: the streams in the order of their first entries, the entries in theirs."""
    streams: dict[Labels, list[bytes]] = {}
    for entry in entries:
        streams.setdefault(entry.labels, []).append(entry.value)
    return b'{"streams":[%b]}' % b",".join(
        [b'{"stream":%b,"values":[%b]}' % (_object(labels), b",".join(values)) for labels, values in streams.items()]
    )


def _object(members: Iterable[tuple[str, str]]) -> bytes:
    return b"{%b}" % b",".join([quote(name) + b":" + quote(text) for name, text in members])


def _text(content: Any, path: Sequence[str]) -> str | None:
    """The value at a path as text, cut; None if there is none, or nothing that is a text or a number."""
    for key in path:
        if not isinstance(content, dict):
            return None
        content = content.get(key)
    if type(content) in (int, bool):
        content = str(content).lower()
    if not isinstance(content, str):
        return None
    # Loki refuses a whole push for half a surrogate pair.
    return content[:MAX_VALUE_CHARS].encode("utf-8", "backslashreplace").decode()


def _made_at_ns(record: str) -> int:
    """When the run that gave this id began: the same at every attempt. 1 for an id of another kind."""
    try:
        return int(record[:_MILLIS_DIGITS], 16) * 1_000_000 or 1
    except ValueError:
        return 1
