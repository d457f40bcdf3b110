"""Settings of the embedded store."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size
from agent.outputs.options import OutputOptions, Start


class LocalConfig(OutputOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="local"):
    """Records in SQLite with full-text search, on this machine; `modeltail search` reads them. Each record is stored
    exactly once.
    """

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
    start: Start = msgspec.field(name="from", default="oldest")
