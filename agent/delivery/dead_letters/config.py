"""Settings of the dead-letter store."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size

DEAD_LETTERS: Final = "dead-letters"
"""The folder, inside the queue's, that holds one folder for each output."""


class DeadLettersConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The store of records that an output refused for good. It lies in the queue's folder."""

    max_bytes: Annotated[Size, Meta(description="Room for the refused records of one output; the oldest go first.")] = (
        256 * 1024**2
    )
    max_age: Annotated[Duration, Meta(description="How long refused records are kept.")] = 30 * 86400.0
