"""Logstash's input ``http`` as logstash-input-http 4.1.13 answers: "ok" for whatever it could read, one event for each
element of an array or each line, 429 when its pipeline is full. ``faults`` are played one for each request."""

import asyncio
import base64
import gzip
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from tests.fakes.listening import HttpFake, runner_of
from tests.fakes.lumberjack import Event

_LINGERING_SECS: Final = 10.0
"""It reads on behind a 429, so that the answer is not lost in a reset."""

Fault = Callable[["FakeLogstashHttp", web.Request], Awaitable[web.StreamResponse]]


class FakeLogstashHttp(HttpFake):
    """A server on a port of its own while the ``async with`` block lasts; ``user`` is ``name:password`` if it wants to
    know who asks."""

    def __init__(self, user: str | None = None) -> None:
        super().__init__()
        self.taken: list[Event] = []
        self.requests: list[web.Request] = []
        self.faults: deque[Fault] = deque()
        self._authorization = None if user is None else "Basic " + base64.b64encode(user.encode()).decode()

    def runner(self) -> web.ServerRunner | web.AppRunner:
        """See ``HttpFake``."""
        return runner_of(self._serve, lingering_secs=_LINGERING_SECS)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        self.requests.append(request)  # type: ignore[arg-type]
        if self._authorization is not None and request.headers.get("authorization") != self._authorization:
            return web.Response(status=401, headers={"www-authenticate": 'Basic realm="Logstash"'})
        if self.faults:
            return await self.faults.popleft()(self, request)  # type: ignore[arg-type]
        return await self.take(request)

    async def take(self, request: web.BaseRequest) -> web.Response:
        """Make events of a request."""
        body = await request.content.read()
        if request.headers.get("content-encoding") == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError):
                return web.Response(status=400)
        if request.content_type == "application/x-ndjson":
            texts = [line for line in body.split(b"\n") if line]
        else:
            texts = elements(body)
        self.taken += [Event(json.loads(text)["event"]["id"], text) for text in texts]
        return web.Response(text="ok")


def elements(array: bytes) -> list[bytes]:
    """The elements of a JSON array of objects, each as it was written."""
    text, decoder = array.decode(), json.JSONDecoder()
    assert text.startswith("[")
    found, place = [], 1
    while text[place] != "]":
        _, end = decoder.raw_decode(text, place)
        found.append(text[place:end].encode())
        place = end
        while text[place] in ",\n":
            place += 1
    assert place == len(text) - 1
    return found


# Faults.


def answers(status: int, said: str = "", **headers: str) -> Fault:
    """Takes nothing and answers this. ``retry_after`` becomes ``Retry-After``."""

    async def fault(server: FakeLogstashHttp, request: web.Request) -> web.StreamResponse:
        await request.content.read()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=said, headers=named)

    return fault


async def is_busy(server: FakeLogstashHttp, request: web.Request) -> web.StreamResponse:
    """429 before the body is read, and the end of the connection: a queue that has been full for ten seconds."""
    response = web.Response(status=429)
    response.force_close()
    return response


def hangs_up(*, taken: bool) -> Fault:
    """The connection ends without an answer."""

    async def fault(server: FakeLogstashHttp, request: web.Request) -> web.StreamResponse:
        response = await (server.take(request) if taken else answers(200)(server, request))
        assert request.transport is not None
        request.transport.abort()
        return response

    return fault


async def hangs(server: FakeLogstashHttp, request: web.Request) -> web.StreamResponse:
    """Takes the request and never answers: a pipeline that is full."""
    response = await server.take(request)
    await asyncio.Event().wait()
    return response
