"""Lines in, documents out: the way through normalise, enrich and render, for tests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.record import Batch, Counts
from agent.render import render

READ_AT_NS = 1_763_805_601_341_999_999
READ_AT = "2025-11-22T10:00:01.341Z"
RUN = "019ab2c4d5e60123456789abcdef"


def batch_of(
    lines: Sequence[bytes | str | Mapping[str, Any]],
    columns: dict[str, list[bytes]] | None = None,
    constants: dict[str, bytes] | None = None,
) -> Batch:
    """A batch as an input emits it; mappings are written as JSON."""
    raw = [
        line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode()
        for line in lines
    ]
    counts = Counts(accepted=len(raw), bytes=sum(map(len, raw)))
    return Batch("in", None, READ_AT_NS, raw, columns or {}, constants or {}, counts)


def bodies(batch: Batch, identity: Mapping[str, bytes] | None = None, timezone: str = "UTC") -> list[bytes]:
    """The documents of a batch as JSON text, in order."""
    batch = enrich(Normaliser(NormaliseSettings(timezone=timezone))(batch), identity or {})
    lines = b"".join(part.lines for part in render(batch, RUN, 1)).split(b"\n")
    return lines[1:-1:2]


def documents(
    lines: Sequence[bytes | str | Mapping[str, Any]], identity: Mapping[str, bytes] | None = None, timezone: str = "UTC"
) -> list[dict[str, Any]]:
    """The documents of some lines, decoded. Numbers stay as they are written, as strings of type ``Number``."""
    return [
        json.loads(body, parse_float=Number, parse_int=Number) for body in bodies(batch_of(lines), identity, timezone)
    ]


def document(line: bytes | str | Mapping[str, Any], timezone: str = "UTC") -> dict[str, Any]:
    """The document of one line, without what every document has."""
    (found,) = documents([line], timezone=timezone)
    return own(found)


def own(found: dict[str, Any]) -> dict[str, Any]:
    """A document without what every document has: ids, stream, versions, time of reading."""
    found = dict(found)
    del found["data_stream"], found["ecs"]
    event = {key: value for key, value in found.pop("event").items() if key not in ("id", "created", "dataset")}
    return found | ({"event": event} if event else {})


class Number(str):
    """The text of a number. Equal to a number if that is what ``repr`` writes for it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str(self) == (other if isinstance(other, str) else repr(other))

    __hash__ = str.__hash__
