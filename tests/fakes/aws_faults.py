"""What the stand-ins for AWS never do, in front of them: throttling, partial failures, 500s, broken connections.

A reverse proxy on loopback. Each request that ``strikes`` names takes the next fault from ``faults``; without one, and
for every other request, it passes on what came, headers and body as they were, so that signatures stay good.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, NamedTuple, Self
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.fakes.listening import HttpFake, runner_of

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}
_LONGEST_BODY = 256 * 1024**2


class Asked(NamedTuple):
    """A request as it came. ``operation`` is what the JSON services call it (``PutRecords``), else its method."""

    operation: str
    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


class Answered(NamedTuple):
    """What the server behind answered."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


Fault = Callable[["AwsFaults", web.Request, Asked], Awaitable[web.StreamResponse]]


def writes(asked: Asked) -> bool:
    """Whether a request brings records or objects: those that take faults unless told otherwise."""
    return asked.operation in {"PutRecords", "PutRecordBatch", "PUT", "POST"}


class AwsFaults(HttpFake):
    """A proxy at a port of its own, kept over ``go_away`` and ``come_back``, while the ``async with`` block lasts.

    ``behind`` is the address of the server it stands in front of, and may be changed. ``seen`` are the requests that
    came, in order.
    """

    def __init__(self, behind: str, strikes: Callable[[Asked], bool] = writes) -> None:
        super().__init__()
        self.behind = behind
        self.faults: deque[Fault] = deque()
        self.seen: list[Asked] = []
        self.strikes = strikes
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60))
        return await super().__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        await self._session.close()

    def runner(self) -> web.ServerRunner | web.AppRunner:
        """See ``HttpFake``."""
        app = web.Application(client_max_size=_LONGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._take)
        return runner_of(app)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        target = request.headers.get("x-amz-target", "")
        asked = Asked(
            target.rpartition(".")[2] or request.method,
            request.method,
            request.raw_path,
            CIMultiDict(request.headers),
            await request.read(),
        )
        self.seen.append(asked)
        try:
            if self.strikes(asked) and self.faults:
                return await self.faults.popleft()(self, request, asked)
            return answer(await self.pass_on(asked))
        except aiohttp.ClientError:  # nobody is there behind us, or not any more
            return _hang_up(request)

    async def pass_on(self, asked: Asked, body: bytes | None = None) -> Answered:
        """What the server behind answers to a request, or to another body in its place."""
        headers = CIMultiDict((n, v) for n, v in asked.headers.items() if n.lower() not in _OF_THE_CONNECTION)
        if body is not None:
            headers["content-length"] = str(len(body))
        url = URL(self.behind.rstrip("/") + asked.target, encoded=True)
        data = asked.body if body is None else body
        async with self._session.request(
            asked.method,
            url,
            headers=headers,
            data=BytesIO(data) if data else None,
            allow_redirects=False,
            skip_auto_headers=("content-type", "user-agent", "accept", "accept-encoding"),
        ) as answered:
            return Answered(answered.status, CIMultiDict(answered.headers), await answered.read())


def answer(answered: Answered) -> web.Response:
    """An answer of the server behind, as it was."""
    own = {*_OF_THE_CONNECTION, "content-length"}
    headers = CIMultiDict((n, v) for n, v in answered.headers.items() if n.lower() not in own)
    return web.Response(status=answered.status, headers=headers, body=answered.body)


# Faults.


def says(status: int, code: str, message: str = "because", headers: Mapping[str, str] | None = None) -> Fault:
    """Answers an error as AWS puts it, JSON or XML, and takes nothing."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        if "x-amz-target" in asked.headers:
            text, kind = json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1"
        else:
            text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
            kind = "application/xml"
        return web.Response(status=status, headers=dict(headers or {}), body=text.encode(), content_type=kind)

    return fault


def answers(status: int, body: bytes, content_type: str = "text/html") -> Fault:
    """Takes nothing and answers something of its own."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type)

    return fault


def fails_records(indexes: Iterable[int] | None, code: str, message: str = "because", *, taken: bool = False) -> Fault:
    """Answers these records of a ``PutRecords`` or ``PutRecordBatch`` with an error, all of them if None, and takes the
    others; with ``taken`` it takes those too, and says otherwise."""
    chosen = None if indexes is None else set(indexes)

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        content = json.loads(asked.body)
        records = content["Records"]
        failed = [i for i in range(len(records)) if chosen is None or i in chosen]
        passed = [i for i in range(len(records)) if taken or i not in failed]
        said: dict[str, Any] = {}
        if passed:
            body = json.dumps({**content, "Records": [records[i] for i in passed]}).encode()
            answered = await proxy.pass_on(asked, body)
            if answered.status != 200:
                return answer(answered)
            said = json.loads(answered.body)
        results = "Records" if asked.operation == "PutRecords" else "RequestResponses"
        count = "FailedRecordCount" if asked.operation == "PutRecords" else "FailedPutCount"
        good = dict(zip(passed, said.get(results, []), strict=True))
        bad = {i: {"ErrorCode": code, "ErrorMessage": message} for i in failed}
        said |= {results: [bad.get(i) or good[i] for i in range(len(records))], count: len(failed)}
        return web.json_response(said, content_type="application/x-amz-json-1.1")

    return fault


def changes_answer(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """Takes everything, and answers what this makes of the JSON that should have been the answer."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        answered = await proxy.pass_on(asked)
        return web.json_response(change(json.loads(answered.body)), status=answered.status)

    return fault


def hangs_up(*, taken: bool, half_answered: bool = False) -> Fault:
    """Closes the connection instead of answering, or in the middle of its answer. ``taken`` says whether the request
    was carried out."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        if taken:
            await proxy.pass_on(asked)
        response = web.StreamResponse(headers={"content-length": "1000"})
        if half_answered:
            with suppress(ConnectionError):
                await response.prepare(request)
                await response.write(b'{"FailedRecordCount":0,')
        return _hang_up(request, response)

    return fault


def _hang_up(request: web.Request, begun: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:  # else the other side was quicker
        request.transport.abort()
    return begun or web.Response()


def says_nothing(*, taken: bool) -> Fault:
    """Never answers."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        if taken:
            await proxy.pass_on(asked)
        await asyncio.Event().wait()
        return web.Response()

    return fault


def waits(secs: float) -> Fault:
    """Passes the request on and answers as it should, this much later."""

    async def fault(proxy: AwsFaults, request: web.Request, asked: Asked) -> web.StreamResponse:
        answered = await proxy.pass_on(asked)
        await asyncio.sleep(secs)
        return answer(answered)

    return fault
