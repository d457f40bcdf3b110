"""Settings of the ``stdin`` input."""

from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Pattern, Size, StreamPart, Zone
from agent.queue.config import OnFull


class StdinConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="stdin"):
    """Lines written into modeltail: `model | modeltail run`. When the writer ends, modeltail delivers what it has and
    ends too."""

    id: Annotated[str, Meta(description="Name of this input: its counts are kept under it.")] = ""
    include_lines: Annotated[
        list[Pattern],
        Meta(max_length=100, description="Take only lines in which one of these regular expressions is found."),
    ] = []
    exclude_lines: Annotated[
        list[Pattern],
        Meta(max_length=100, description="Leave out lines in which one of these regular expressions is found."),
    ] = []
    max_line: Annotated[
        Size,
        Meta(
            ge=64,
            le=16 * 1024**2,
            description="Longest line taken whole; of a longer one the first part is kept, "
            "marked with `labels.truncated`.",
        ),
    ] = 1024**2
    linger: Annotated[
        Duration, Meta(le=10, description="How long to let lines gather, so that they travel together.")
    ] = 0.25
    timezone: Annotated[Zone, Meta(description="Time zone of times written without one.")] = "UTC"
    dataset: Annotated[StreamPart | None, Meta(description="Dataset of these records instead of the agent's own.")] = (
        None
    )
    namespace: Annotated[
        StreamPart | None, Meta(description="Namespace of these records instead of the agent's own.")
    ] = None
    labels: Annotated[dict[str, str], Meta(description="Labels put on every record, as `labels.<name>`.")] = {}
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: `block` stops reading, and then the writer waits in its next write; "
            "the others drop the oldest or the newest records, counted."
        ),
    ] = "drop_newest"
