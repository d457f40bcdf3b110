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

ShedLevel = Literal["info", "warning", "error", "critical"]


class Shed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Records that go first when the queue fills up: those of low levels, counted by level, before anybody waits."""

    below: Annotated[ShedLevel, Meta(description="Records of lower levels are dropped; those without one are kept.")]
    above: Annotated[
        float,
        Meta(
            gt=0, le=1,
            description="Share of `max_bytes` from which on they are. With 1, only while inputs wait for room or the "
            "disk takes nothing.",
        ),
    ] = 0.8  # fmt: skip


class MaxLag(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What one output may hold back when the queue is full. An output that is further behind loses its oldest records,
    counted, so that inputs and the other outputs can go on."""

    size: Annotated[Size | None, Meta(description="Bytes of the queue it may hold back.")] = None
    age: Annotated[Duration | None, Meta(description="Time for which it may hold records back.")] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows."""
        if self.size is None and self.age is None:
            yield "", "give it a `size`, an `age` or both; without `max_lag` an output holds records for ever"

    def is_exceeded(self, held_bytes: int, held_secs: float | None) -> bool:
        """Whether an output that holds back so many bytes, the oldest for so long (None: nobody knows), is too far
        behind."""
        too_much = self.size is not None and held_bytes > self.size
        return too_much or (self.age is not None and held_secs is not None and held_secs > self.age)


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

    shed: Annotated[
        Shed | None, Meta(description="What is dropped first when the queue fills up; nothing unless given.")
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows."""
        if self.max_bytes < 32 * 1024**2:
            yield "max_bytes", "the queue needs 32MiB at least: a large batch must fit beside what is being delivered"
