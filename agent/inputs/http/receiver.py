"""Answers HTTP requests: who may ask, how much, for how long; and is quick to stop.

One request is one record or many; it is answered 200 when all that was accepted of it is in the queue. A client that
goes away before its answer does not take its records along: they may get in.
"""

import asyncio
import contextlib
import hmac
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import cast

from aiohttp import web

from agent.errors import NoRoom
from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.http.answers import RETRY_AFTER_SECS, Answer, Refusal, Refused
from agent.inputs.http.body import Held, Room, encoding_of, expand, read_body
from agent.inputs.http.config import ReceiverOptions
from agent.inputs.http.dialect import Dialect, Unchecked
from agent.inputs.http.gather import LARGE_BYTES, Gatherer
from agent.inputs.line_batch import LineBatches, label_constants
from agent.inputs.lines import Cut
from agent.inputs.listen import BACKLOG, announce, listening, server_tls
from agent.log import Log
from agent.record import Batch

_GOODBYE_SECS = 1.0
_AT_ONCE_SECS = 0.01
_LINGER_SECS = 2.0
"""How long the rest of a body is read that was refused unread, so that the client gets to see why."""
_READ_BYTES = 256 * 1024
"""Up to twice as much is read ahead on a connection, uncounted: the more, the fewer turns a batch takes."""
_REQUEST_ID_CHARS = 200

_log = Log("inputs.http")


class Receiver:
    """An input over HTTP. ``run`` listens until asked to stop; then requests under way are answered, new ones get 503,
    and it returns."""

    def __init__(self, config: ReceiverOptions, dialect: Dialect) -> None:
        self.id = config.id
        self._config = config
        self._dialect = dialect
        self._token = None if config.token is None else config.token.encode()
        self._batches = LineBatches(config.id, config.include_lines, config.exclude_lines)
        self._labels = label_constants(config.labels)
        self._room = Room(config.max_held)
        self._stopping = False
        self._under_way = 0
        self._none_under_way = asyncio.Event()
        self._none_under_way.set()
        self._last_request: float | None = None
        self._server: web.Server | None = None

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Listen until asked to stop. Raises ``ConfigError`` when the address or a certificate cannot be used."""
        gatherer = Gatherer(emit)
        where = f"inputs.{self.id}"
        tls = None if self._config.tls is None else server_tls(self._config.tls, f"{where}.tls")
        async with asyncio.TaskGroup() as tasks:
            gathering = tasks.create_task(gatherer.run(), name=f"gather:{self.id}")
            with listening(self._config.listen, "stream", f"{where}.listen") as sockets:
                async with self._serving(gatherer, sockets, tls):
                    await stop.wait()
            gathering.cancel()
        await gatherer.flush_notes(self.id, time.time_ns())

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle once a request was seen, nobody is connected, and none has come for so long."""
        if self._last_request is None:
            return "unseen"
        connected = self._server is not None and bool(self._server.connections)
        quiet = time.monotonic() - self._last_request >= quiet_secs
        return "idle" if quiet and not connected and not self._under_way else "busy"

    @contextlib.asynccontextmanager
    async def _serving(
        self, gatherer: Gatherer, sockets: Iterable[socket.socket], tls: ssl.SSLContext | None
    ) -> AsyncIterator[None]:
        """Answer requests until the block ends, and then those under way."""
        config = self._config

        async def answer(request: web.BaseRequest) -> web.Response:
            return await self._answer(request, gatherer)

        server = web.Server(
            answer,
            access_log=None,
            auto_decompress=False,  # its limit would be ours to guess
            keepalive_timeout=config.idle_timeout,
            lingering_time=_LINGER_SECS,
            read_bufsize=_READ_BYTES,
        )
        self._server = server

        def connected() -> asyncio.Protocol:
            if len(server.connections) >= config.max_connections:
                _log.warning("Too many connections: one more was turned away", input=self.id)
                return _TurnedAway()
            return server()

        loop = asyncio.get_running_loop()
        listeners: list[asyncio.Server] = []
        try:
            for each in sockets:
                create = loop.create_unix_server if each.family == socket.AF_UNIX else loop.create_server
                listeners.append(await create(connected, sock=each, ssl=tls, backlog=BACKLOG))
                announce(self.id, each, tls=tls is not None)
            yield
            self._stopping = True
            await self._none_under_way.wait()  # meanwhile whoever comes is told to come again later
        finally:
            self._stopping = True
            for listener in listeners:
                listener.close()
            server.pre_shutdown()
            await server.shutdown(_GOODBYE_SECS if not self._under_way else _AT_ONCE_SECS)
            await self._none_under_way.wait()
            await asyncio.sleep(0)  # connections end a turn after their requests

    async def _answer(self, request: web.BaseRequest, gatherer: Gatherer) -> web.Response:
        try:
            if self._stopping:
                raise Refusal(503, "modeltail is stopping; send this request again later")
            with self._counted():
                answer = await self._taken(request, gatherer)
            return self._response(request, answer)
        except Refusal as refusal:
            if isinstance(refusal, _Full):
                _log.warning("The queue is full: requests are answered 429", input=self.id)
            else:
                _log.warning("A request was refused", input=self.id, status=refusal.status, reason=refusal.reason)
            answer = self._dialect.refuse(request.headers, refusal)
            answer.headers = {**answer.headers, **refusal.headers}
            return self._response(request, answer)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._last_request = time.monotonic()
        self._under_way += 1
        self._none_under_way.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none_under_way.set()

    def _response(self, request: web.BaseRequest, answer: Answer) -> web.Response:
        headers = {"Content-Type": answer.content_type, "Server": "modeltail", **answer.headers}
        asked = request.headers.get("X-Request-Id")
        if asked is not None and len(asked) <= _REQUEST_ID_CHARS and asked.isprintable():
            headers["X-Request-Id"] = asked
        if self._stopping:
            headers["Connection"] = "close"
        response = web.Response(status=answer.status, body=answer.body, headers=headers)
        if headers.get("Connection") == "close":
            response.force_close()
        return response

    async def _taken(self, request: web.BaseRequest, gatherer: Gatherer) -> Answer:
        """The answer once what the request brought is in the queue. Raises ``Refusal`` when nothing of it is."""
        self._check_token(request)
        if request.path != self._dialect.path:
            raise Refusal(404, f"records are taken at {self._dialect.path}")
        if request.method != "POST":
            raise Refusal(405, "records are taken by POST", {"Allow": "POST"})
        exchange = self._dialect.meet(request.headers)
        encoding = encoding_of(request.headers.get("Content-Encoding", ""))
        limit = self._config.max_body
        with Held(self._room).until_done() as held:
            body = await read_body(request, limit, self._config.read_timeout, held)
            if encoding != "identity":
                body = expand(body, encoding, limit)
                held.grow_to(len(body))
            refused, accepted = Refused(), 0
            if self._dialect.all_or_nothing:
                for _ in exchange.cuts(body, refused):
                    pass
            if not refused.count:
                batches = self._made(exchange.cuts(body, refused), refused)
                accepted = await self._put(batches, gatherer, large=len(body) >= LARGE_BYTES)
            if refused.count:
                self._say(refused, gatherer)
            return exchange.answer(accepted, refused)

    def _check_token(self, request: web.BaseRequest) -> None:
        if self._token is None:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not known:
            raise Refusal(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})

    async def _put(self, batches: Iterator[Batch], gatherer: Gatherer, *, large: bool) -> int:
        """Records accepted, when they are in the queue. Only the first batch may find that there is no room: what
        comes behind one that is in waits for as long as it takes, because nobody could say how much of it was taken."""
        patience: float | None = self._config.full_wait if self._config.on_full == "block" else None
        accepted = 0
        put_next = gatherer.put_next_alone if large else gatherer.put_next
        while True:
            try:
                batch = await put_next(batches, patience)
            except NoRoom:
                raise _Full(429, "the queue is full; nothing of this request was taken; send it later") from None
            if batch is None:
                return accepted
            accepted += batch.counts.accepted
            patience = None

    def _made(self, cuts: Iterable[Cut], refused: Refused) -> Iterator[Batch]:
        """A batch of each cut. What was refused of one on its way is known when the next is asked for."""
        read_at_ns = time.time_ns()
        for cut in cuts:
            batch = self._batches.make(cut, self._labels, None, read_at_ns, offsets=False)
            if not isinstance(cut, Unchecked):
                if batch.counts.accepted or batch.counts.bytes:
                    yield batch
                continue
            batch.refused = []
            yield batch
            for at, reason in batch.refused:
                refused.add(cut.first + at, reason)

    def _say(self, refused: Refused, gatherer: Gatherer) -> None:
        """What was refused was never accepted: it is counted beside the ledger's sum."""
        gatherer.note("refused", refused.count)
        number, reason = refused.first[0]
        _log.warning(
            "Records of a request were refused", input=self.id, refused=refused.count, number=number, reason=reason
        )


class _Full(Refusal):
    """The queue has no room."""


class _TurnedAway(asyncio.Protocol):
    """One connection too many: told so, and closed. What it sends meanwhile is read, or the answer would be lost with
    the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything was asked."""
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(_GOODBYE_SECS, self._transport.abort)
        self._transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            % RETRY_AFTER_SECS
        )

    def data_received(self, data: bytes) -> None:
        """It has asked, so it reads."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to do."""
        self._timer.cancel()
