"""Settings of the output `ndjson`."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agent.config.fields import Size
from agent.outputs.options import OutputOptions


class NdjsonConfig(OutputOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="ndjson"):
    """Documents in a file, one a line. At least once: what was in flight when the agent died is written again."""

    path: Annotated[Path, Meta(description="The file. Full ones are renamed `PATH.1`, `PATH.2` …, the newest first.")]
    max_bytes: Annotated[Size, Meta(ge=1024, description="Size at which the file is full.")] = 100 * 1024**2
    keep: Annotated[int, Meta(ge=0, le=1000, description="Full files that are kept.")] = 5
