"""Settings of the ``udp`` input."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.config.fields import Size
from agent.inputs.listen import address_problem, parse_address
from agent.inputs.socket_options import MessageFormat, SocketOptions


class UdpConfig(SocketOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="udp"):
    """Datagrams: lines, syslog or GELF. Nobody waits for anybody: what cannot be held is dropped and counted, what the
    kernel drops too."""

    format: MessageFormat = "auto"
    sender: Annotated[
        bool, Meta(description="Put the sender's address on each record: `source.ip` and `source.port`.")
    ] = False
    receive_buffer: Annotated[
        Size,
        Meta(
            ge=4096,
            le=1024**3,
            description="Receive buffer asked of the kernel. Without the right `CAP_NET_ADMIN` it gives no more than "
            "`net.core.rmem_max`.",
        ),
    ] = 64 * 1024**2

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no type shows."""
        yield from super().problems()
        if address_problem(self.listen) is None and parse_address(self.listen).path:
            yield "listen", "must be an address with a port; for a socket file use the input `unix`"
