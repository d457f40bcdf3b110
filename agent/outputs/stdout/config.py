"""Settings of the output `stdout`."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.delivery.config import DeliveryConfig


class StdoutConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="stdout"):
    """Documents on standard output, one a line: for trying things out, and for containers whose output is collected."""

    id: Annotated[str, Meta(description="Name of this output in logs, metrics and the ledger.")] = ""
    pretty: Annotated[bool, Meta(description="Indent the documents for reading; they then take several lines.")] = False
    start: Annotated[
        Literal["now", "oldest"],
        Meta(
            description="Where an output that is new starts: at what comes next, or at the oldest record still queued."
        ),
    ] = msgspec.field(name="from", default="now")
    delivery: Annotated[DeliveryConfig, Meta(description="How records are batched.")] = msgspec.field(
        default_factory=DeliveryConfig
    )
