"""From documents to a push: streams by their labels, a line for each document, its time in nanoseconds. Pure.

The JSON form of ``POST /loki/api/v1/push`` (Grafana Loki 3, "Loki HTTP API", ingest logs)::

    {"streams": [{"stream": {LABEL: VALUE, …}, "values": [[NANOSECONDS, LINE, {NAME: VALUE, …}], …]}, …]}

All of it follows from the document alone, its time too. So a line that is sent once more is the same to the last bit:
Loki drops it if it still fills the block that has the first one, and whoever reads both can tell.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from agent.outputs.instant import unix_ns
from agent.outputs.loki.pick import picker
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
    """What is read of a document: the places of its times, its labels and the metadata; nothing else of it is
    decoded."""

    def __init__(self, labels: Mapping[str, str], metadata: Mapping[str, str]) -> None:
        names = sorted(labels)
        self._labels = [(name, len(_TIMES) + i) for i, name in enumerate(names)]
        self._metadata = [(name, len(_TIMES) + len(names) + i) for i, name in enumerate(metadata)]
        wanted = [*_TIMES, *[labels[name] for name in names], *metadata.values()]
        places = list(dict.fromkeys(wanted))  # each once, and where in what is picked each wanted one is
        self._at = [places.index(place) for place in wanted]
        self._pick = picker(places)

    def entries(self, ids: Sequence[str], documents: Sequence[bytes]) -> list[Entry]:
        """An entry for each document."""
        return [self._entry(record, document) for record, document in zip(ids, documents, strict=True)]

    def _entry(self, record: str, document: bytes) -> Entry:
        picked, at = self._pick(document), self._at
        time_ns = next((ns for i in range(len(_TIMES)) if (ns := unix_ns(picked[at[i]] or ""))), None)
        labels = tuple([(name, _cut(text)) for name, i in self._labels if (text := picked[at[i]])])
        metadata = [(name, _cut(text)) for name, i in self._metadata if (text := picked[at[i]])]
        beside = b"," + _object(metadata) if metadata else b""
        line = quote(document.decode("utf-8", "replace"))
        time_ns = time_ns or _made_at_ns(record)
        return Entry(labels or NO_LABELS, time_ns, b'["%d",%b%b]' % (time_ns, line, beside))


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


def _cut(text: str) -> str:
    """A value within Loki's bounds: not too long, and without half a surrogate pair, for which it refuses a whole
    push."""
    text = text[:MAX_VALUE_CHARS]
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _made_at_ns(record: str) -> int:
    """When the run that gave this id began: the same at every attempt. 1 for an id of another kind."""
    try:
        return int(record[:_MILLIS_DIGITS], 16) * 1_000_000 or 1
    except ValueError:
        return 1
