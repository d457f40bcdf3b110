"""The ``tcp`` input: connections, framed and read by format (`agent.inputs.connections`)."""

import socket

from agent.inputs.connections import Connections, read_connections
from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.datagrams import sender_facts
from agent.inputs.framing import framer
from agent.inputs.intake import Intake
from agent.inputs.listen import announce, listening, server_tls
from agent.inputs.messages import NOTHING, Facts
from agent.inputs.tcp.config import TcpConfig


class TcpInput:
    """Reads connections. Asked to stop, it accepts no more, reads what is there and closes them."""

    def __init__(self, config: TcpConfig) -> None:
        self.id = config.id
        self._config = config
        self._connections: Connections | None = None

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until asked to stop. When cancelled, what was read and not emitted is lost."""
        config = self._config
        tls = server_tls(config.tls, f"inputs.{self.id}.tls") if config.tls else None
        connections = self._connections = Connections(
            config,
            Intake(config, config.format),
            lambda: framer(config.framing, config.max_line),
            self._facts,
            tls=tls,
            max_connections=config.max_connections,
            idle_secs=config.idle_timeout,
        )
        with listening(config.listen, "stream", f"inputs.{self.id}.listen") as listeners:
            for each in listeners:
                announce(self.id, each, tls=tls is not None)
            await read_connections(connections, listeners, emit, stop)

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle when something came, nobody is connected, and nothing came for that long."""
        return "unseen" if self._connections is None else self._connections.activity(quiet_secs)

    def _facts(self, accepted: socket.socket) -> Facts:
        return sender_facts(accepted.getpeername()) if self._config.sender else NOTHING
