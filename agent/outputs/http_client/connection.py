"""Connections to the hosts of one output. Nothing here retries, and no body is read or changed. Only aiohttp itself
asks once more where a connection that was kept open is found broken, by a method that may be repeated: never ``POST``.

Foreign exceptions end here: nothing but ``SendError`` leaves ``Connection.ask``.
"""

import hashlib
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from agent.errors import CutOff, NoAnswer, Paused, Retryable
from agent.log import Log
from agent.outputs.hosts import Hosts

MAX_ANSWER_BYTES: Final = 256 * 1024**2
"""An answer larger than this is not read: nothing asked for comes near it."""

_WRITE_BYTES: Final = 64 * 1024
_GATEWAY_FAILURES: Final = frozenset({502, 503, 504})

log = Log("outputs.http_client")


class Answer(NamedTuple):
    """Status, headers (any case) and body of an answer, whatever they are."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Signer(Protocol):
    """Signs each request as it is sent."""

    async def sign(self, method: str, url: str, body_sha256: str) -> Mapping[str, str]:
        """The headers to add; ``url`` is the whole address, quoted, and the checksum in hex. Raises a ``SendError`` if
        there is nothing to sign with: then nothing is sent."""
        ...

    def look_at(self, answer: Answer) -> None:
        """Raise ``Paused`` if it is the signature, or who signed, that this answer refuses."""
        ...


class Connection:
    """The hosts of one output. ``ask`` sends one request to one of them and never retries.

    ``addresses`` are scheme, host, port and path prefix, each once. ``headers`` go with every request, credentials
    among them. ``tls`` verifies those of them that are ``https``. ``signer`` signs every request.
    Connections are kept open until it is left.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        headers: Mapping[str, str],
        *,
        tls: ssl.SSLContext | None,
        proxy: str | None,
        request_timeout_secs: float,
        connect_timeout_secs: float,
        max_connections: int,
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._hosts = Hosts([address.rstrip("/") for address in addresses])
        self._proxy = proxy
        self._request_timeout_secs = request_timeout_secs
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=max_connections, ssl=tls or False),
            timeout=aiohttp.ClientTimeout(total=request_timeout_secs, sock_connect=connect_timeout_secs),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def ask(
        self,
        method: str,
        target: str,
        body: Sequence[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; ``target`` is path and query, quoted. A body may lie in several pieces; one of ``bytes``
        is JSON unless the headers say otherwise.

        Raises ``Retryable`` when it has certainly not arrived, ``NoAnswer`` when it may have (``CutOff`` when the
        connection broke before an answer began), ``Paused`` when the server's certificate, the proxy, or a header or
        address that cannot be sent stands in the way.
        """
        headers = dict(headers or {})
        if isinstance(body, bytes):
            body = (body,)
            headers.setdefault("content-type", "application/json")
        with self._hosts.chosen(time.monotonic()) as host:
            return await self._ask(host, method, target, body, headers)

    async def _ask(
        self, host: str, method: str, target: str, body: Sequence[bytes] | None, headers: dict[str, str]
    ) -> Answer:
        payload = None if body is None else _Pieces(body, headers["content-type"])
        if self._signer is not None:
            headers.update(await self._signer.sign(method, host + target, _sha256(body or ())))
        began = is_well = False
        try:
            async with self._session.request(
                method,
                URL(host + target, encoded=True),
                data=payload,
                headers=headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                began = True
                answer = Answer(response.status, response.headers, await _read_bounded(response.content))
            is_well = answer.status not in _GATEWAY_FAILURES
            if self._signer is not None:
                self._signer.look_at(answer)
            return answer
        except aiohttp.ClientConnectorCertificateError as error:
            why = error.certificate_error
            said = why.verify_message if isinstance(why, ssl.SSLCertVerificationError) else str(why)
            raise Paused(f"the server's certificate is not accepted: {error.host}:{error.port}: {said}") from error
        except aiohttp.ClientSSLError as error:
            raise Paused(f"no TLS with {unconnected(error)}; is TLS on there?") from error
        except aiohttp.ClientHttpProxyError as error:
            # The library's own words have the proxy's address in them, password and all.
            raise (Retryable if error.status >= 500 else Paused)(f"the proxy refuses: status {error.status}") from None
        except aiohttp.ClientConnectorError as error:
            raise Retryable(f"no connection to {unconnected(error)}") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Retryable(f"no connection: {_sentence(error)}") from error
        except aiohttp.InvalidURL:
            raise Paused("the address of the host or of the proxy cannot be read") from None
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._request_timeout_secs:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise (NoAnswer if began else CutOff)(f"the connection broke: {_sentence(error)}") from error
        except ValueError as error:
            if began:
                raise NoAnswer(f"the connection broke: {error}") from error
            raise Paused(f"no request can be made of these settings: {error}") from error
        finally:
            if is_well:
                self._hosts.answered(host)
            elif self._hosts.failed(host, time.monotonic()):
                log.warning("A host does not answer and is left out for a while", host=host)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def unconnected(error: aiohttp.ClientConnectorError) -> str:
    """Where no connection came about, and why; the library's own words speak of TLS also where there is none."""
    why = error.os_error
    if isinstance(why, ssl.SSLError):
        said = why.reason or str(why)
    elif why.errno is not None and why.errno > 0:  # names that are not found have numbers of their own
        said = os.strerror(why.errno)
    else:
        said = why.strerror or str(why) or type(why).__name__
    return f"{error.host}:{error.port}: {said}"


class _Pieces(Payload):
    """A body that lies in several buffers; they are written one after the other, not joined."""

    _autoclose = True

    def __init__(self, pieces: Sequence[bytes], content_type: str) -> None:
        super().__init__(pieces, content_type=content_type)
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text; only the library's own debugging asks for it."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the pieces, a little at a time.

        A server that finds the body too large says so and hangs up while we still write. Between two small writes its
        answer is read; one large write would only ever see the broken connection. And a write that fails is not the
        last word: whether there was an answer is what the reading side finds out.
        """
        with suppress(ConnectionError):
            for piece in self._value:
                view = memoryview(piece)
                for start in range(0, len(view), _WRITE_BYTES):
                    await writer.write(view[start : start + _WRITE_BYTES])


def _sha256(pieces: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
