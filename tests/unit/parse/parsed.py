"""Lines through a parser and the normaliser, for tests."""

import json
from collections.abc import Sequence
from typing import Any

from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.processors.parse.config import ParseConfig, PresetName
from agent.processors.parse.make import parser_of
from agent.record import Batch, Counts
from agent.render import render
from tests.unit.normalise.documents import RUN, Number, own

READ_AT_NS = 1_795_348_800_000_000_000
"""2026-11-22T12:00:00Z"""
READ_AT = "2026-11-22T12:00:00.000Z"


def parsed(
    lines: Sequence[str | bytes],
    preset: Sequence[PresetName] = (),
    parse: ParseConfig | None = None,
    timezone: str = "UTC",
    read_at_ns: int = READ_AT_NS,
) -> tuple[list[dict[str, Any]], Counts]:
    """The documents of some lines, without what every document has, and what was counted. Numbers stay as they are
    written."""
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    batch = Batch("in", None, read_at_ns, raw, {}, {}, Counts(accepted=len(raw)))
    normaliser = Normaliser(NormaliseSettings(timezone=timezone), parser_of(preset, parse, timezone))
    batch = enrich(normaliser(batch), {})
    bodies = b"".join(part.lines for part in render(batch, RUN, 1)).split(b"\n")[1:-1:2]
    return [own(json.loads(body, parse_float=Number, parse_int=Number)) for body in bodies], batch.counts


def flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A document's leaves by their places; what is in ``ml.metrics``, lists and the like are leaves too."""
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        place = f"{prefix}{name}"
        if isinstance(value, dict) and place not in ("ml.metrics", "ml.inputs", "ml.outputs"):
            leaves.update(flat(value, f"{place}."))
        else:
            leaves[place] = value
    return leaves
