"""Settings of the embedded store."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size
from agent.delivery.config import DeliveryConfig


class LocalConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="local"):
    """Records in SQLite with full-text search, on this machine; `modeltail search` reads them. Each record is stored
    exactly once.
    """

    id: Annotated[str, Meta(description="Name of this output in logs, metrics and the ledger.")] = ""
    path: Annotated[Path, Meta(description="Folder of the store. One agent writes to it at a time.")] = Path(
        "/var/lib/modeltail/store"
    )
    max_age: Annotated[Duration, Meta(gt=0, description="Records stored longer ago than this are removed.")] = (
        30 * 86400.0
    )
    max_bytes: Annotated[
        Size,
        Meta(
            ge=16 * 1024**2, description="Room the store may take on disk; the oldest records are removed to keep it."
        ),
    ] = 1024**3
    start: Annotated[
        Literal["now", "oldest"],
        Meta(
            description="Where an output that is new starts: at what comes next, or at the oldest record still queued."
        ),
    ] = msgspec.field(name="from", default="oldest")
    delivery: Annotated[DeliveryConfig, Meta(description="How records are batched.")] = msgspec.field(
        default_factory=DeliveryConfig
    )
