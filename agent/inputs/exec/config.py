"""Settings of the ``exec`` input."""

from typing import Annotated, Literal

from msgspec import Meta

from agent.inputs.assembly.config import Multiline
from agent.inputs.options import LineOptions, Linger
from agent.queue.config import OnFull

PassOn = Literal["auto", "always", "complete", "never"]
"""What happens to the model's output besides: passed on where it is a terminal; passed on; passed on to the last byte;
kept to ourselves."""


class ExecConfig(LineOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="exec"):
    """What the model that `modeltail exec -- COMMAND` runs writes to its standard output and standard error. The
    command stands on the command line; without an entry of this type the defaults hold."""

    passthrough: Annotated[
        PassOn,
        Meta(
            description="Whether the model's output is passed on to modeltail's own: `auto` does it where that is a "
            "terminal; `always` without ever making the model wait, so that a reader who is slow misses some; "
            "`complete` to the last byte, and the model waits for a slow reader."
        ),
    ] = "auto"
    multiline: Multiline = "auto"
    linger: Linger = 0.25
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: `block` stops reading, and then the model waits in its next write; "
            "the others drop the oldest or the newest records, counted."
        ),
    ] = "drop_newest"
