"""An HTTP server that takes records and misbehaves as it is told to: what the fakes of webhook, OTLP and Loki share.

Each request takes the next fault from ``faults``; without one all goes well. It can go away and come back at the same
port with what it has. What it takes it can also write to a file, so that a process of its own can be killed: a record
is in the file before its request is answered.
"""

import asyncio
import gzip
import json
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from tests.fakes.listening import HttpFake, runner_of


class Request(NamedTuple):
    """A request as it came: ``body`` is expanded, ``headers`` are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Fault = Callable[["Receiver", web.BaseRequest, Request], Awaitable[web.StreamResponse]]


class Receiver(HttpFake):
    """A server that keeps ``records``: id and document of everything it took, repeats included."""

    def __init__(self, *, port: int = 0, file: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port=port, tls=tls)
        self.records: list[tuple[str, bytes]] = []
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.poisoned: set[str] = set()
        self._file = file
        if file is not None and file.exists():
            *whole, torn = file.read_bytes().split(b"\n")
            os.truncate(file, file.stat().st_size - len(torn))  # what is torn was not answered
            for line in whole:
                record, _, document = line.partition(b" ")
                self.records.append((record.decode(), document))

    def answer(self, request: Request) -> web.Response:
        """Take a request and answer it, as the server would that this is a fake of."""
        raise NotImplementedError

    def keep(self, records: list[tuple[str, bytes]]) -> None:
        """Take records."""
        self.records += records
        if self._file is not None:
            with self._file.open("ab") as file:
                file.write(b"".join([b"%b %b\n" % (record.encode(), document) for record, document in records]))

    def runner(self) -> web.ServerRunner | web.AppRunner:
        """See ``HttpFake``."""
        return runner_of(self._handle)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        seen = Request(request.method, request.path_qs, headers, body)
        self.requests.append(seen)
        if self.faults and request.method in ("POST", "PUT"):
            return await self.faults.pop(0)(self, request, seen)
        return self.answer(seen)


def refuses(status: int, body: bytes | str = b"", content_type: str = "text/plain", **headers: str) -> Fault:
    """Answers with a status and takes nothing. ``retry_after`` becomes ``Retry-After``."""

    async def fault(server: Receiver, request: web.BaseRequest, seen: Request) -> web.StreamResponse:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=data, headers={**named, "content-type": content_type})

    return fault


def hangs_up(*, taken: bool) -> Fault:
    """Closes the connection instead of answering. ``taken`` says whether the records arrived."""

    async def fault(server: Receiver, request: web.BaseRequest, seen: Request) -> web.StreamResponse:
        if taken:
            server.answer(seen)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    return fault


def says_nothing(*, taken: bool) -> Fault:
    """Never answers."""

    async def fault(server: Receiver, request: web.BaseRequest, seen: Request) -> web.StreamResponse:
        if taken:
            server.answer(seen)
        await asyncio.Event().wait()
        return web.Response()

    return fault


def id_of(document: bytes) -> str:
    """A document's own id."""
    record: str = json.loads(document)["event"]["id"]
    return record


async def serve(receiver: Receiver) -> None:
    """Serve until killed, having written the port to standard output."""
    async with receiver:
        os.write(1, f"{receiver.url}\n".encode())
        await asyncio.Event().wait()
