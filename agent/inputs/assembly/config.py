"""Settings of assembly, for every input of lines that offers it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Pattern, Size

MAX_LINES = 4000
"""A block fits in one batch, whatever is configured."""

Format = Literal["plain", "cri", "docker", "auto"]


class MultilineConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which lines belong together, and how much of them is put together at most."""

    start: Annotated[
        Pattern | None,
        Meta(
            description="A line in which this is found begins an event; every other line belongs to the one before. "
            "Without it blocks are recognised as with `auto`."
        ),
    ] = None
    max_lines: Annotated[
        int, Meta(ge=2, le=MAX_LINES, description="Lines of one event at most. What follows is an event of its own.")
    ] = 500
    max_bytes: Annotated[
        Size,
        Meta(ge=64, le=16 * 1024**2, description="Size of one event at most. What follows is an event of its own."),
    ] = 1024**2
    flush_after: Annotated[
        Duration,
        Meta(gt=0, le=3600, description="How long an event waits for its next line before it is taken as it is."),
    ] = 1.0


Multiline = Annotated[
    Literal["auto", "none"] | MultilineConfig,
    Meta(
        description="Lines that belong together become one record: with `auto` those of tracebacks, panics and the "
        "like, with settings those a pattern tells, with `none` no lines."
    ),
]
"""The type of a setting ``multiline``; ``auto`` is its default."""
