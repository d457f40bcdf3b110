"""What inputs have in common in the configuration; each input's own struct extends one of these."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Pattern, Size, StreamPart, Zone
from agent.processors.parse.config import ParseConfig, PresetName

Linger = Annotated[Duration, Meta(le=10, description="How long to let records gather, so that they travel together.")]


class InputOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every input can be told."""

    id: Annotated[str, Meta(description="Name of this input: its positions and counts are kept under it.")] = ""
    timezone: Annotated[Zone, Meta(description="Time zone of times written without one.")] = "UTC"
    dataset: Annotated[StreamPart | None, Meta(description="Dataset of these records instead of the agent's own.")] = (
        None
    )
    namespace: Annotated[
        StreamPart | None, Meta(description="Namespace of these records instead of the agent's own.")
    ] = None
    labels: Annotated[dict[str, str], Meta(description="Labels put on every record, as `labels.<name>`.")] = {}


class LineOptions(InputOptions, kw_only=True, forbid_unknown_fields=True):
    """What every input of lines can be told besides."""

    include_lines: Annotated[
        list[Pattern],
        Meta(max_length=100, description="Take only lines in which one of these regular expressions is found."),
    ] = []
    exclude_lines: Annotated[
        list[Pattern],
        Meta(max_length=100, description="Leave out lines in which one of these regular expressions is found."),
    ] = []
    preset: Annotated[
        list[PresetName],
        Meta(
            max_length=20,
            description="The servers whose lines these are, which are then taken apart: see `docs/presets.md`. "
            "`modeltail try` shows what becomes of a line.",
        ),
    ] = []
    parse: Annotated[
        ParseConfig | None,
        Meta(
            description="How lines that are no JSON object are written, to take them apart: see `docs/parsers.md`. "
            "A line that does not fit stays whole, with `labels.parse: failed`."
        ),
    ] = None
    max_line: Annotated[
        Size,
        Meta(
            ge=64,
            le=16 * 1024**2,
            description="Longest line taken whole; of a longer one the first part is kept, "
            "marked with `labels.truncated`.",
        ),
    ] = 1024**2
