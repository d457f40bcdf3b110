"""Where fake servers listen: at a port that stays theirs, and without losing sight of anyone when they stop."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from aiohttp import web

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


Handler = Callable[[Any], Awaitable[web.StreamResponse]]


def runner_of(serves: Handler | web.Application, *, lingering_secs: float = 0.0) -> web.ServerRunner | web.AppRunner:
    """What runs a handler of all requests, or an application: as little as can be, and it ends at once. So long it
    reads what is left of a request that is answered already."""
    options: dict[str, Any] = {
        "auto_decompress": False,
        "access_log": None,
        "handler_cancellation": True,
        "lingering_time": lingering_secs,
    }
    if isinstance(serves, web.Application):
        return web.AppRunner(serves, shutdown_timeout=AT_ONCE_SECS, **options)
    return web.ServerRunner(web.Server(serves, **options), shutdown_timeout=AT_ONCE_SECS)


class HttpFake:
    """An HTTP server on a port of its own while the ``async with`` block lasts. It can go away and come back there;
    connections are refused meanwhile."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._runner: web.ServerRunner | web.AppRunner | None = None
        self._held: socket.socket
        self._listening: socket.socket

    def runner(self) -> web.ServerRunner | web.AppRunner:
        """What serves, made anew each time it comes back."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        # Bound and not listening, it keeps the port ours while the server is away.
        self._held = socket_at(self._port)
        self._port = self._held.getsockname()[1]
        await self.come_back()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.go_away()
        self._held.close()

    async def come_back(self) -> None:
        """Listen, at the same port every time."""
        self._runner = self.runner()
        await self._runner.setup()
        self._listening = socket_at(self._port)
        await web.SockSite(self._runner, self._listening, ssl_context=self._tls).start()

    async def go_away(self) -> None:
        """Break every connection and listen no more."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await accept_no_more(self._listening)
            await runner.cleanup()
