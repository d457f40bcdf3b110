"""The status endpoint: a few pages over HTTP, on loopback unless configured otherwise.

The socket listens from the start; the HTTP server behind it is loaded at the first connection, so that an agent nobody
asks does not carry it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agent import memory
from agent.errors import ConfigError
from agent.log import Log
from agent.status.config import StatusConfig
from agent.status.view import View

if TYPE_CHECKING:
    from aiohttp import web

_log = Log("status")


@contextlib.asynccontextmanager
async def serve_status(config: StatusConfig, view: View) -> AsyncIterator[str]:
    """Serve until the block ends. Gives the address. Raises ``ConfigError`` when it cannot be had."""
    pages: web.Server | None = None

    def connected() -> asyncio.Protocol:
        nonlocal pages
        if pages is None:
            memory.load_aiohttp()
            from agent.status.pages import pages_of

            pages = pages_of(view)
        return pages()

    try:
        listener = await asyncio.get_running_loop().create_server(connected, config.host, config.port)
    except OSError as error:
        raise ConfigError(
            [f"status.port: cannot listen on {config.host}:{config.port} ({error.strerror}); choose another, or 0"]
        ) from error
    try:
        host, port = listener.sockets[0].getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _log.info("Status endpoint is listening", address=address)
        yield address
    finally:
        listener.close()
        if pages is not None:
            await pages.shutdown(timeout=1.0)
