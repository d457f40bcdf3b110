"""Settings of the queue on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size

OnFull = Literal["block", "drop_oldest", "drop_newest"]
"""What happens to new records when the queue is full: the input waits, the oldest queued records go, or the new ones
go. Drops are counted."""


class QueueConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The write-ahead log every record passes through on its way to the outputs."""

    path: Annotated[Path, Meta(description="Folder of the queue. One agent holds it at a time.")] = Path(
        "/var/lib/modeltail/queue"
    )
    max_bytes: Annotated[Size, Meta(description="Room the queue may take on disk.")] = 2 * 1024**3
    min_free: Annotated[
        Size, Meta(description="Room that must stay free on the disk; the queue counts as full below it.")
    ] = 64 * 1024**2
    segment_bytes: Annotated[Size, Meta(ge=64 * 1024, description="Size at which a segment file is sealed.")] = (
        16 * 1024**2
    )
    sync: Annotated[
        Literal["always", "interval", "never"],
        Meta(
            description="When records count as accepted: after the fsync, after the write with an fsync every "
            "`sync_interval`, or after the write."
        ),
    ] = "interval"
    sync_interval: Annotated[Duration, Meta(gt=0, description="Time between two fsyncs with `sync: interval`.")] = 0.1

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows."""
        if self.max_bytes < 32 * 1024**2:
            yield "max_bytes", "the queue needs 32MiB at least: a large batch must fit beside what is being delivered"
