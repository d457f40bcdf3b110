"""The ``unix`` input: a socket file, of connections or of datagrams.

A writer of datagrams waits in its ``send`` while the socket is full, or is told ``EAGAIN``; the kernel drops none.
"""

import socket

from agent.inputs.connections import Connections, peer_process, read_connections
from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.datagrams import read_datagrams
from agent.inputs.framing import framer
from agent.inputs.intake import Intake
from agent.inputs.listen import announce, listening, parse_address
from agent.inputs.messages import NOTHING, Facts
from agent.inputs.unix.config import UnixConfig


class UnixInput:
    """Reads a socket file. Asked to stop, it lets no more in and reads what is there."""

    def __init__(self, config: UnixConfig) -> None:
        self.id = config.id
        self._config = config
        self._intake: Intake | None = None
        self._connections: Connections | None = None

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until asked to stop. When cancelled, what was read and not emitted is lost."""
        config = self._config
        intake = self._intake = Intake(config, config.format)
        where, mode = f"inputs.{self.id}.listen", int(config.mode, 8)
        with listening(config.listen, config.kind, where, mode) as bound:
            for each in bound:
                announce(self.id, each, tls=False)
            if config.kind == "datagram":
                await read_datagrams(
                    bound,
                    intake,
                    emit,
                    stop,
                    max_bytes=config.max_datagram,
                    senders=False,
                    chunks=False,
                    passed=bool(parse_address(config.listen).passed),
                )
                return
            self._connections = Connections(
                config,
                intake,
                lambda: framer(config.framing, config.max_line),
                self._facts,
                tls=None,
                max_connections=config.max_connections,
                idle_secs=config.idle_timeout,
            )
            await read_connections(self._connections, bound, emit, stop)

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle when something came, nobody is connected, and nothing came for that long."""
        if self._connections is not None:
            return self._connections.activity(quiet_secs)
        return "unseen" if self._intake is None else self._intake.activity(quiet_secs, writers=0)

    def _facts(self, accepted: socket.socket) -> Facts:
        return peer_process(accepted) if self._config.sender else NOTHING
