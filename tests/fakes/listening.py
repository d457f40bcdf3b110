"""A socket that a fake server listens on, and stops listening on without losing sight of anyone."""

import asyncio
import socket
from typing import Final

AT_ONCE_SECS: Final = 0.001
"""How long a server of aiohttp waits for its requests when it is closed. To aiohttp 0 means for ever."""


def socket_at(port: int) -> socket.socket:
    """A socket at a port of the loopback interface (0: any free one) that others may be bound to as well."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made


async def accept_no_more(listening: socket.socket) -> None:
    """To be awaited before the server is closed that listens here.

    What was just accepted is a connection two turns of the loop later. Before that it can neither be closed, nor
    survive its server's end: asyncio would forget the socket (Python 3.11).
    """
    asyncio.get_running_loop().remove_reader(listening)
    for _ in range(3):
        await asyncio.sleep(0)
