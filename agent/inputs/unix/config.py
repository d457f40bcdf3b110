"""Settings of the ``unix`` input."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Size
from agent.inputs.listen import address_problem, parse_address
from agent.inputs.socket_options import (
    ConnectionLimit,
    IdleTimeout,
    MessageFormat,
    MessageFraming,
    SocketOptions,
)


class UnixConfig(SocketOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="unix"):
    """A socket file for programs of this machine, of connections or of datagrams (as `/dev/log` is)."""

    kind: Annotated[
        Literal["stream", "datagram"],
        Meta(description="Connections, or datagrams: then a writer waits, or is refused, while nobody reads."),
    ] = "stream"
    format: MessageFormat = "auto"
    framing: MessageFraming = "auto"
    mode: Annotated[
        str,
        Meta(
            pattern="^0?[0-7]{3}$",
            examples=["0660"],
            description="Mode of the socket file: whoever may write it may send.",
        ),
    ] = "0660"
    sender: Annotated[
        bool,
        Meta(description="Put on each record who connected: `process.pid` and `user.id`. Connections only."),
    ] = False
    max_connections: ConnectionLimit = 512
    max_datagram: Annotated[
        Size, Meta(ge=1024, le=16 * 1024**2, description="Longest datagram read whole; a longer one is cut and marked.")
    ] = 256 * 1024
    idle_timeout: IdleTimeout = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no type shows."""
        yield from super().problems()
        if self.idle_timeout == 0:
            yield "idle_timeout", "must be more than nothing; leave it out to close no connection"
        if address_problem(self.listen) is None and parse_address(self.listen).host:
            yield "listen", "must be `unix:/path` or `systemd:NAME`; for an address use the input `tcp` or `udp`"
        if self.kind == "datagram" and self.sender:
            yield "sender", "is known of connections only; leave it out with `kind: datagram`"
        if self.kind == "datagram" and self.framing != "auto":
            yield "framing", "is of connections; a datagram has its own end"
