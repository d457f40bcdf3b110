"""Settings of the ``tcp`` input."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.inputs.listen import TlsOptions, address_problem, parse_address
from agent.inputs.socket_options import (
    ConnectionLimit,
    IdleTimeout,
    MessageFormat,
    MessageFraming,
    SocketOptions,
)


class TcpConfig(SocketOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tcp"):
    """Connections that bring lines, syslog or GELF."""

    format: MessageFormat = "auto"
    framing: MessageFraming = "auto"
    sender: Annotated[
        bool, Meta(description="Put the sender's address on each record: `source.ip` and `source.port`.")
    ] = False
    max_connections: ConnectionLimit = 512
    idle_timeout: IdleTimeout = None
    tls: Annotated[TlsOptions | None, Meta(description="Speak TLS (syslog: RFC 5425). Nothing else is taken then.")] = (
        None
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no type shows."""
        yield from super().problems()
        if self.idle_timeout == 0:
            yield "idle_timeout", "must be more than nothing; leave it out to close no connection"
        if address_problem(self.listen) is None and parse_address(self.listen).path:
            yield "listen", "must be an address with a port; for a socket file use the input `unix`"
