"""What can go wrong with one bulk request: each fault is played once, when its turn comes in ``faults`` of the fake."""

import asyncio
import random
from collections.abc import Mapping

from aiohttp import web

from tests.fakes.elasticsearch import BeforeReading, Bulk, FakeElasticsearch, Fault, Json, error_of, json_answer

KINDS = {
    400: "document_parsing_exception",
    403: "cluster_block_exception",
    404: "index_not_found_exception",
    409: "version_conflict_engine_exception",
    413: "content_too_long_exception",
    429: "es_rejected_execution_exception",
    500: "exception",
    503: "unavailable_shards_exception",
}
"""The type of error that Elasticsearch gives an item of this status."""


def refuses(status: int, reason: str = "", **headers: str) -> Fault:
    """Answers the whole request with a status and takes nothing. ``retry_after`` becomes ``Retry-After``."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        answer = (
            json_answer(status, error_of("es_rejected_execution_exception", reason))
            if reason
            else web.Response(status=status)
        )
        answer.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
        return answer

    return fault


def answers(status: int, body: bytes, content_type: str = "text/html") -> Fault:
    """Takes nothing and answers something of its own."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type)

    return fault


def calls_it(content_type: str) -> Fault:
    """Takes everything and answers as it should, under the wrong name."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        answer = json_answer(200, server.apply(bulk), request.query.get("filter_path"))
        answer.content_type = content_type
        return answer

    return fault


def fails_items(items: Mapping[int, int], error_type: str | None = None, reason: str = "because") -> Fault:
    """Answers these items with these statuses and takes the others."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        fixed = {i: {"status": status, **error_of(error_type or KINDS[status], reason)} for i, status in items.items()}
        return json_answer(200, server.apply(bulk, fixed), request.query.get("filter_path"))

    return fault


def fails_items_it_took(items: Mapping[int, int]) -> Fault:
    """Takes everything, and answers these items with these statuses all the same, as when a copy did not confirm."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        answer = server.apply(bulk)
        for i, status in items.items():
            if i < len(answer["items"]):
                answer["items"][i]["create"] |= {"status": status, **error_of(KINDS[status], "not confirmed")}
        return json_answer(200, {**answer, "errors": True}, request.query.get("filter_path"))

    return fault


def stores_failures(indexes: set[int]) -> Fault:
    """Puts these items into the failure store: a success, but not in the data stream."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        fixed: dict[int, Json] = {i: {"_index": ".fs-x", "status": 201, "failure_store": "used"} for i in indexes}
        server.failure_store += [bulk.operations[i].record for i in indexes if i < len(bulk.operations)]
        return json_answer(200, server.apply(bulk, fixed), request.query.get("filter_path"))

    return fault


def forgets_item() -> Fault:
    """Takes everything and answers one item too few."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        answer = server.apply(bulk)
        return json_answer(200, {**answer, "items": answer["items"][1:]}, request.query.get("filter_path"))

    return fault


def reorders_items(items: Mapping[int, int], seed: int = 1) -> Fault:
    """Answers these items with these statuses, takes the others, and answers in another order."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        fixed = {i: {"status": status, **error_of(KINDS[status], "because")} for i, status in items.items()}
        answer = server.apply(bulk, fixed)
        random.Random(seed).shuffle(answer["items"])  # repeatable
        return json_answer(200, answer, request.query.get("filter_path"))

    return fault


def hangs_up(*, taken: bool, half_answered: bool = False) -> Fault:
    """Closes the connection instead of answering, or in the middle of its answer. ``taken`` says whether the records
    arrived."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        if taken:
            server.apply(bulk)
        response = web.StreamResponse(headers={"content-length": "1000", "content-type": "application/json"})
        if half_answered:
            await response.prepare(request)
            await response.write(b'{"errors":false,"items":[')
        _hang_up(request)
        return response

    return fault


def hangs_up_while_reading(after_bytes: int = 0, status: int | None = None) -> BeforeReading:
    """Closes the connection when so much of the body has come, with the rest unread; with ``status`` it says that
    first, as far as it gets."""

    async def strike(request: web.Request) -> web.StreamResponse:
        size = 0
        while size < after_bytes and (piece := await request.content.readany()):
            size += len(piece)
        if status is not None:
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
        _hang_up(request)
        return web.Response()

    return BeforeReading(strike)


def says_nothing(*, taken: bool) -> Fault:
    """Never answers."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        if taken:
            server.apply(bulk)
        await asyncio.Event().wait()
        return web.Response()

    return fault


def drips(pause_secs: float, pieces: int = 8) -> Fault:
    """Takes everything and answers as it should, but in pieces, with a pause before each."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        whole = json_answer(200, server.apply(bulk), request.query.get("filter_path"))
        assert isinstance(whole.body, bytes)
        response = web.StreamResponse(headers={"content-type": "application/json"})
        response.content_length = len(whole.body)
        await response.prepare(request)
        step = len(whole.body) // pieces + 1
        for start in range(0, len(whole.body), step):
            await asyncio.sleep(pause_secs)
            await response.write(whole.body[start : start + step])
        return response

    return fault


def restarts(*, taken: bool) -> Fault:
    """Goes down with the request in hand, and comes back."""

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        if taken:
            server.apply(bulk)
        server.restart()
        _hang_up(request)
        return web.Response()

    return fault


def rolls_over(*, taken_before: float = 0.0, then: Fault | None = None) -> Fault:
    """Rolls the data stream over when this share of the records has been taken; the others are taken or not by what
    comes ``then``, nothing of which may be item by item. Without it they go into the new index, and there is an answer.
    """

    async def fault(server: FakeElasticsearch, request: web.Request, bulk: Bulk) -> web.StreamResponse:
        middle = int(len(bulk.operations) * taken_before)
        first = server.apply(bulk._replace(operations=bulk.operations[:middle]))
        server.rollover(bulk.stream)
        rest = bulk._replace(operations=bulk.operations[middle:])
        if then is not None:
            return await then(server, request, rest)
        second = server.apply(rest)
        answer = {
            "errors": first["errors"] or second["errors"],
            "took": 1,
            "items": [*first["items"], *second["items"]],
        }
        return json_answer(200, answer, request.query.get("filter_path"))

    return fault


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:  # else the other side was quicker
        request.transport.abort()
