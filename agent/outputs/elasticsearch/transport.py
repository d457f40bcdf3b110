"""Connections to the hosts: the official client's transport, with its own decisions taken out.

Retries, back-off and the reading of bodies are not its business here. What it does: choose a host, leave out one that
does not answer for a while (1 to 30 s), keep connections open. A host that answers is well, even when the answer is
413 or 429, which the library itself would punish.

Foreign exceptions end here: nothing but ``SendError`` leaves ``Connection.ask``.
"""

import base64
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from elastic_transport import (
    AiohttpHttpNode,
    ApiResponseMeta,
    AsyncTransport,
    BaseNode,
    HttpHeaders,
    NodeConfig,
    NodePool,
    TransportError,
)
from elastic_transport import ConnectionError as NodeFailure
from elastic_transport import ConnectionTimeout as NodeTimeout
from elastic_transport.client_utils import DEFAULT, DefaultType, parse_cloud_id, url_to_node_config

from agent.errors import CutOff, NoAnswer, Paused, Retryable
from agent.log import Log
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.tls import fetch_authority, tls_context

log = Log("outputs.elasticsearch")

MAX_ANSWER_BYTES: Final = 256 * 1024**2
"""An answer larger than this is not read: nothing asked for here comes near it."""

_WRITE_BYTES: Final = 64 * 1024
_GATEWAY_FAILURES: Final = frozenset({502, 503, 504})


class Answer(NamedTuple):
    """Status, headers (lower-case names) and body of an answer, whatever they are."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Received(NamedTuple):
    """What the library expects of a node."""

    meta: ApiResponseMeta
    body: bytes


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


class _NotSent(NodeFailure):
    """No connection came about: the request has certainly not arrived."""


class _BrokeWhileSending(NodeFailure):
    """The connection broke before an answer began."""


class _Node(AiohttpHttpNode):
    """One host. Redirects are answers, bodies go out in pieces, and what comes back is bounded and not decoded."""

    ill = False
    """Whether the last request says that this host had better be left out for a while."""

    async def perform_request(  # type: ignore[override]
        self,
        method: str,
        target: str,
        body: Sequence[bytes] | None = None,
        headers: HttpHeaders | None = None,
        request_timeout: DefaultType | float | None = DEFAULT,
    ) -> _Received:
        """Send one request and read its answer. Raises the library's errors, as its pool expects them."""
        if self.session is None:
            self._create_aiohttp_session()
        sent_headers = {**self._headers, **(headers or {})}
        payload = None if body is None else _Pieces(body, sent_headers["content-type"])
        extras = self.config._extras
        timeout = aiohttp.ClientTimeout(
            total=request_timeout if isinstance(request_timeout, float) else self.config.request_timeout,
            sock_connect=extras["connect_timeout_secs"],
        )
        began = self._loop.time()
        self.ill = True
        answered = False
        try:
            async with self.session.request(  # type: ignore[union-attr]
                method,
                self.base_url + target,
                data=payload,
                headers=sent_headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=extras["proxy"],
            ) as response:
                answered = True
                answer = await _read_bounded(response.content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise _NotSent(_sentence(error), errors=(error,)) from error
        except TimeoutError as error:
            raise NodeTimeout("no answer in time", errors=(error,)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = NodeFailure if answered else _BrokeWhileSending
            raise failure(_sentence(error), errors=(error,)) from error
        self.ill = response.status in _GATEWAY_FAILURES
        seconds = self._loop.time() - began
        meta = ApiResponseMeta(
            node=self.config,
            duration=seconds,
            http_version="1.1",
            status=response.status,
            headers=HttpHeaders(response.headers),
        )
        return _Received(meta, answer)


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
    if isinstance(error, OSError) and error.errno and not isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


class _Hosts(NodePool):
    """Which hosts are left out for now: those that did not answer or sit behind a gateway that could not reach them."""

    def mark_dead(self, node: BaseNode, _now: float | None = None) -> None:
        """Leave a host out, if its failure was its own."""
        if getattr(node, "ill", True):
            super().mark_dead(node, _now)
            if len(self) > 1:
                log.warning("A host does not answer and is left out for a while", host=node.base_url)
        else:
            self.mark_live(node)


class _AsTheyAre:
    """Bodies are bytes on their way out and on their way in, whatever their type is called."""

    def dumps(self, data: Any, mimetype: str | None = None) -> Any:
        return data

    def loads(self, data: bytes, mimetype: str | None = None) -> bytes:
        return data


class Connection:
    """The hosts of one output. ``ask`` sends one request to one of them and never retries."""

    def __init__(self, config: ElasticsearchConfig, transport: AsyncTransport) -> None:
        self._transport = transport
        self._timeout_secs = float(config.request_timeout)
        self._headers = _headers(config)

    async def ask(
        self,
        method: str,
        target: str,
        body: Sequence[bytes] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request. Raises ``Retryable`` when it has certainly not arrived, ``NoAnswer`` when it may have
        (``CutOff`` when the connection broke before an answer began), ``Paused`` for a TLS refusal.
        """
        if isinstance(body, bytes):
            body, headers = (body,), {"content-type": "application/json", **(headers or {})}
        try:
            meta, answer = await self._transport.perform_request(
                method,
                target,
                body=body,
                headers={**self._headers, **(headers or {})},
                request_timeout=self._timeout_secs,
            )
        except _NotSent as failure:
            if isinstance(failure.__cause__, aiohttp.ClientSSLError):
                raise Paused(f"the server's certificate is not accepted: {failure.message}") from failure
            if isinstance(failure.__cause__, aiohttp.ClientHttpProxyError):
                raise Paused(f"the proxy refuses: {failure.message}") from failure
            raise Retryable(f"no connection: {failure.message}") from failure
        except NodeTimeout as failure:
            raise NoAnswer(f"no answer within {self._timeout_secs:g} s") from failure
        except _BrokeWhileSending as failure:
            raise CutOff(f"the connection broke: {failure.message}") from failure
        except TransportError as failure:
            raise NoAnswer(f"the connection broke: {failure.message}") from failure
        return Answer(meta.status, meta.headers, answer or b"")

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()


async def connect(config: ElasticsearchConfig) -> Connection:
    """Make ready to talk to the hosts; nothing is sent yet but what looking up a ``ca_fingerprint`` takes.

    Raises ``Paused`` when certificates or the cloud id cannot be used, ``Retryable`` when the fingerprint cannot be
    looked up now.
    """
    logging.getLogger("elastic_transport.node_pool").setLevel(logging.ERROR)  # who is left out is told above, once
    nodes = _nodes(config)
    context = None
    if any(node.scheme == "https" for node in nodes):
        authority = await _authority(config, nodes) if config.ca_fingerprint else None
        context = tls_context(config, authority)
    extras = {"proxy": config.proxy, "connect_timeout_secs": float(config.connect_timeout)}
    transport = AsyncTransport(
        [
            node.replace(
                ssl_context=context if node.scheme == "https" else None,
                connections_per_node=config.delivery.max_concurrency + 1,
                _extras=extras,
            )
            for node in nodes
        ],
        node_class=_Node,
        node_pool_class=_Hosts,
        max_retries=0,
        retry_on_status=(),
        meta_header=False,
    )
    transport.serializers = _AsTheyAre()  # type: ignore[assignment]
    return Connection(config, transport)


def _nodes(config: ElasticsearchConfig) -> list[NodeConfig]:
    """Every host once, in the order given."""
    if config.cloud_id is None:
        return list(dict.fromkeys(url_to_node_config(host, use_default_ports_for_scheme=True) for host in config.hosts))
    try:
        address = parse_cloud_id(config.cloud_id).es_address
    except ValueError as error:
        raise Paused("`cloud_id` is not what Elastic Cloud shows") from error
    if address is None:
        raise Paused("`cloud_id` names no Elasticsearch")
    return [NodeConfig("https", *address)]


async def _authority(config: ElasticsearchConfig, nodes: Sequence[NodeConfig]) -> bytes:
    """The certificate authority of the configured fingerprint, from the first host that answers."""
    assert config.ca_fingerprint is not None  # narrowed by the caller
    unreachable: Retryable | None = None
    for node in nodes:
        if node.scheme == "https":
            try:
                return await fetch_authority(node.host, node.port, config.ca_fingerprint, float(config.connect_timeout))
            except Retryable as error:
                unreachable = error
    raise unreachable or Paused("`ca_fingerprint` needs a host with https")


def _headers(config: ElasticsearchConfig) -> dict[str, str]:
    """The headers of every request, credentials among them."""
    headers = {"accept": "application/json", "user-agent": "modeltail"}
    headers |= {name.lower(): value for name, value in config.headers.items()}
    if config.username is not None:
        pair = f"{config.username}:{config.password or ''}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
    elif config.api_key is not None:
        key = base64.b64encode(config.api_key.encode()).decode() if ":" in config.api_key else config.api_key
        headers["authorization"] = f"ApiKey {key}"
    return headers
