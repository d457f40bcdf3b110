"""Opening a connection to one host of Logstash, and what it means when that fails."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import TypeVar
from urllib.parse import urlsplit

from agent.errors import Paused, Retryable, SendError
from agent.outputs.logstash.config import LogstashConfig, port_of
from agent.outputs.tls import client_context

BEATS_PORT = 5044

P = TypeVar("P", bound=asyncio.BaseProtocol)


def endpoint(host: str) -> tuple[str, int]:
    """Name and port of ``name:port``, ``[address]:port`` or an address with scheme."""
    if "://" in host:
        url = urlsplit(host)
        return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    port = port_of(host)
    name = host if port is None else host.rpartition(":")[0]
    return name.strip("[]"), BEATS_PORT if port is None else port


def without_password(url: str) -> str:
    """The address without who asks: it is shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def tls_context(config: LogstashConfig) -> ssl.SSLContext | None:
    """How connections are verified; None when none goes through TLS. Raises ``Paused``."""
    return client_context(config) if config.uses_tls else None


async def open_to(host: str, protocol: Callable[[], P], tls: ssl.SSLContext | None, timeout_secs: float) -> P:
    """A connection to this host. Raises ``Retryable`` when nobody answers, ``Paused`` when TLS does not come about."""
    name, port = endpoint(host)
    try:
        async with asyncio.timeout(timeout_secs):
            _, made = await asyncio.get_running_loop().create_connection(protocol, name, port, ssl=tls)
            return made
    except TimeoutError as error:
        raise Retryable(f"no connection to {host} within {timeout_secs:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise Paused(f"the certificate of {host} is not accepted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise Paused(f"no TLS with {host}: {error.reason or error}; is TLS on there?") from error
    except OSError as error:
        # An input without TLS takes the greeting for a frame that is no good, and hangs up.
        hint = "; is TLS on there?" if tls is not None and isinstance(error, ConnectionResetError) else ""
        raise Retryable(f"no connection to {host}: {error.strerror or error}{hint}") from error
    except ValueError as error:  # what the name is to be written as for DNS and TLS
        raise Paused(f"{name!r} cannot be the name of a host: {error}") from error


async def unreachable(config: LogstashConfig, hosts: Iterable[str]) -> list[str]:
    """Which hosts cannot be connected to, a sentence for each. Nothing is sent: whatever an input of Logstash is sent
    becomes an event."""
    problems = []
    for host in hosts:
        try:
            tls = tls_context(config) if config.tls or host.startswith("https://") else None
            await open_to(host, _Knock, tls, float(config.connect_timeout))
        except SendError as error:
            problems.append(str(error))
    return problems


class _Knock(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
