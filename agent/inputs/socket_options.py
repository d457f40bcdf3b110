"""What the inputs that listen on sockets have in common in the configuration."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration, Size
from agent.inputs.listen import Address, address_problem
from agent.inputs.options import LineOptions, Linger
from agent.queue.config import OnFull

Format = Literal["auto", "lines", "syslog", "gelf"]
Framing = Literal["auto", "newline", "octet-counted", "nul"]

MessageFormat = Annotated[
    Format,
    Meta(
        description="What a message is: `lines` (JSON or text), `syslog` (RFC 5424 or RFC 3164), `gelf`; `auto` "
        "tells by how it begins."
    ),
]
MessageFraming = Annotated[
    Framing,
    Meta(
        description="Where a message ends: at a `newline`, at a zero byte (`nul`), or where its length says "
        "(`octet-counted`, RFC 6587); `auto` tells by how the connection begins."
    ),
]
ConnectionLimit = Annotated[int, Meta(ge=1, le=65536, description="Connections at a time. Others wait to be accepted.")]
IdleTimeout = Annotated[
    Duration | None,
    Meta(
        description="Close a connection that brought nothing for so long; never unless given. Many senders lose the "
        "first record they write to a connection that was closed.",
    ),
]


class SocketOptions(LineOptions, kw_only=True, forbid_unknown_fields=True):
    """What every input on sockets can be told."""

    listen: Address
    linger: Linger = 0.25
    buffer: Annotated[
        Size,
        Meta(
            ge=64 * 1024,
            le=1024**3,
            description="Bytes held between the sockets and the queue, those of all connections together. When they "
            "are used up, nothing is read until the queue takes some.",
        ),
    ] = 8 * 1024**2
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: `block` stops reading (connections make their writers wait, the "
            "kernel drops datagrams); the others drop the oldest or the newest records. All drops are counted."
        ),
    ] = "drop_newest"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no type shows."""
        if (problem := address_problem(self.listen)) is not None:
            yield "listen", problem
