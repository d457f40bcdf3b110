"""Settings of the ``stdin`` input."""

from typing import Annotated

from msgspec import Meta

from agent.inputs.assembly.config import Multiline
from agent.inputs.options import LineOptions, Linger
from agent.queue.config import OnFull


class StdinConfig(LineOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="stdin"):
    """Lines written into modeltail: `model | modeltail run`. When the writer ends, modeltail delivers what it has and
    ends too."""

    multiline: Multiline = "auto"
    linger: Linger = 0.25
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: `block` stops reading, and then the writer waits in its next write; "
            "the others drop the oldest or the newest records, counted."
        ),
    ] = "drop_newest"
