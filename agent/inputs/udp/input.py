"""The ``udp`` input: one socket (or one for each address of a name), read as fast as the kernel fills it.

Sent = accepted, when a datagram holds one message: what the kernel drops for want of room is read from the socket
(`agent.inputs.datagrams`) and counted as accepted and dropped under ``kernel``. What is in the socket when we are
killed is gone, and nobody counts it.
"""

import socket

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.datagrams import enlarge, read_datagrams
from agent.inputs.intake import Intake
from agent.inputs.listen import announce, listening, parse_address
from agent.inputs.udp.config import UdpConfig
from agent.log import Log

MAX_DATAGRAM = 64 * 1024
"""No datagram is longer."""

_log = Log("inputs.udp")


class UdpInput:
    """Reads datagrams. Asked to stop, it lets no more in, and reads what the kernel has."""

    def __init__(self, config: UdpConfig) -> None:
        self.id = config.id
        self._config = config
        self._intake: Intake | None = None

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until asked to stop. When cancelled, what was read and not emitted is lost."""
        config = self._config
        intake = self._intake = Intake(config, config.format)
        with listening(config.listen, "datagram", f"inputs.{self.id}.listen") as bound:
            for each in bound:
                self._prepare(each)
            await read_datagrams(
                bound,
                intake,
                emit,
                stop,
                max_bytes=MAX_DATAGRAM,
                senders=config.sender,
                chunks=config.format in ("auto", "gelf"),
                passed=bool(parse_address(config.listen).passed),
            )

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle when something came and then nothing for that long: who could still send is not known."""
        return "unseen" if self._intake is None else self._intake.activity(quiet_secs, writers=0)

    def _prepare(self, bound: socket.socket) -> None:
        size = enlarge(bound, self._config.receive_buffer)
        if size < self._config.receive_buffer:
            _log.info(
                "The kernel gives a smaller receive buffer than asked for; see `net.core.rmem_max`",
                input=self.id, bytes=size,
            )  # fmt: skip
        announce(self.id, bound, tls=False)
