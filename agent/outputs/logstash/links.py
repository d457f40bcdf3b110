"""The connections of an output that has one to each host: who is next, and who is left out."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic, NamedTuple, TypeVar, cast

from agent.errors import SendError
from agent.log import Log
from agent.outputs.hosts import Hosts
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import open_to, tls_context

GOODBYE_SECS: Final = 1.0
"""How long an orderly end of a connection may take."""

log = Log("outputs.logstash")


class Lost(NamedTuple):
    """Why a connection is gone. ``is_broken``: the other end closed it, or the network did. ``is_wrong``: the other end
    said what it should not, a person must look. Neither: it stopped answering."""

    why: str
    is_broken: bool = False
    is_wrong: bool = False


class Link(asyncio.Protocol):
    """A connection, as the event loop makes it; what it carries is its subclass's matter."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost: Lost | None = None
        self._gone = asyncio.Event()

    async def close(self, *, orderly: bool = True) -> None:
        """End the connection, ``orderly`` once all is written."""
        if orderly:
            self.transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECS):
                    await self._gone.wait()
        self.transport.abort()

    def lose(self, lost: Lost) -> None:
        """The connection is of no more use. Only the first reason counts."""
        if self.lost is None:
            self.lost = lost
            self.transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._gone.set()
        if isinstance(exc, ssl.SSLError):
            self.lose(Lost(f"TLS was refused: {exc.reason or exc}", is_wrong=True))
        else:
            self.lose(Lost(f"the connection broke: {exc or 'closed by the other end'}", is_broken=True))


L = TypeVar("L", bound=Link)


class Links(Generic[L]):
    """One connection to each host, made when first needed, and again when it was lost."""

    def __init__(self, config: LogstashConfig, make: Callable[[], L]) -> None:
        self._config = config
        self._make = make
        self._hosts = Hosts(config.hosts)
        self._links: dict[str, L] = {}
        self._opening = {host: asyncio.Lock() for host in config.hosts}

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[tuple[str, L]]:
        """The host whose turn it is, and the connection to it that all share. Raises ``Retryable`` when the host does
        not answer, ``Paused`` when TLS does not come about.
        """
        with self._hosts.chosen(time.monotonic()) as host:
            async with self._opening[host]:
                link = self._links.get(host)
                if link is None or link.lost is not None:
                    link = self._links[host] = await self._open(host)
            yield host, link

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[tuple[str, L]]:
        """The host whose turn it is, and a new connection to it, closed afterwards. Raises likewise."""
        with self._hosts.chosen(time.monotonic()) as host:
            link = await self._open(host)
            try:
                yield host, link
            finally:
                await link.close()

    async def _open(self, host: str) -> L:
        """Connect. Certificates are read every time: renewed ones are taken up."""
        try:
            return await open_to(host, self._make, tls_context(self._config), float(self._config.connect_timeout))
        except SendError:
            self._failed(host)
            raise

    def answered(self, host: str) -> None:
        """The host is well."""
        self._hosts.answered(host)

    def drop(self, host: str, link: L) -> None:
        """The link was lost with something to do on it. Several may notice; for the host it is one failure."""
        shared = self._links.get(host)
        if shared is link:
            del self._links[host]
        elif shared is not None:
            return  # it was alone, or somebody else told already; the host works
        self._failed(host)

    async def close(self) -> None:
        """End every connection."""
        links, self._links = self._links, {}
        await asyncio.gather(*(link.close() for link in links.values()))

    def _failed(self, host: str) -> None:
        if self._hosts.failed(host, time.monotonic()):
            log.warning("A host does not answer and is left out for a while", host=host)
