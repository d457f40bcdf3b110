"""An Elasticsearch that misbehaves as it is told to.

It keeps documents per backing index with ``create`` and 409, creates data streams from index templates, rolls them
over, and looks up ids. Faults are scripted: each bulk request takes the next one from ``faults``, and without one all
goes well; likewise each look at the backing indices takes a status from ``looks``. The contract suite runs against it
and against the real server, so what it does when nothing is scripted is what Elasticsearch does. The faults themselves
are in ``tests.fakes.faults``.
"""

import asyncio
import fnmatch
import gzip
import json
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

from tests.fakes.aws_gate import AwsGate
from tests.fakes.listening import HttpFake, runner_of

Json = dict[str, Any]

OPENSEARCH_PARAMETERS = frozenset({"filter_path", "pipeline", "require_alias", "refresh", "timeout"})
"""What OpenSearch's bulk API takes, of what Elasticsearch's does."""
OPENSEARCH_TEMPLATE = frozenset({"settings", "mappings", "aliases"})


class Operation(NamedTuple):
    """One action line and the document behind it, as they came."""

    action: str
    record: str
    document: bytes


class Bulk(NamedTuple):
    """A bulk request as it came. Header names are lower case; ``wire_bytes`` is its size before it was inflated."""

    stream: str
    operations: list[Operation]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    wire_bytes: int


Fault = Callable[["FakeElasticsearch", web.Request, Bulk], Awaitable[web.StreamResponse]]


class BeforeReading(NamedTuple):
    """A fault that strikes while the body is still being sent."""

    strike: Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeElasticsearch(HttpFake):
    """A server on a port of its own while the ``async with`` block lasts.

    ``authorization`` is the header value every request must carry. ``max_body`` is the largest body, inflated, that is
    not answered 413. ``prefix`` is a path everything lies under. ``pipelines`` are the ingest pipelines there are.
    ``unrefreshed`` are ids that no search shows yet, ``poisoned`` ids that are refused whatever the document.
    ``is_opensearch`` makes it one: it refuses what only Elasticsearch has. ``gate`` stands before it.
    """

    def __init__(
        self,
        *,
        authorization: str | None = None,
        max_body: int = 100 * 1024**2,
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
        privileges: Mapping[str, bool] | None = None,
        pipelines: frozenset[str] = frozenset(),
        is_opensearch: bool = False,
        gate: AwsGate | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.faults: deque[Fault | BeforeReading] = deque()
        self.looks: deque[int] = deque()
        self.bulks: list[Bulk] = []
        self.requests: list[tuple[str, str]] = []
        self.streams: dict[str, dict[str, tuple[int, dict[str, bytes]]]] = {}
        self.failure_store: list[str] = []
        self.templates: dict[str, Json] = {}
        self.unrefusing = False
        self.unrefreshed: set[str] = set()
        self.poisoned: set[str] = set()
        self.is_opensearch = is_opensearch
        self._gate = gate
        self.pipelines = pipelines
        self.failing_pipelines: set[str] = set()
        self._authorization = authorization
        self._max_body = max_body
        self._prefix = prefix
        self._privileges = privileges
        self._restarting: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return super().url + self._prefix

    async def __aexit__(self, *exc: object) -> None:
        if self._restarting is not None:
            await self._restarting
        await super().__aexit__(*exc)

    def restart(self) -> None:
        """Break every connection, and be there again a moment later, at the same port with the same documents."""

        async def restart(earlier: asyncio.Task[None] | None) -> None:
            if earlier is not None:
                await earlier
            await self.go_away()
            await self.come_back()

        self._restarting = asyncio.create_task(restart(self._restarting))

    def runner(self) -> web.ServerRunner | web.AppRunner:
        """See ``HttpFake``."""
        app = web.Application(client_max_size=1024**3, middlewares=[self._guard])
        at = self._prefix
        app.router.add_post(at + "/{stream}/_bulk", self._bulk)
        if self.is_opensearch:
            app.router.add_get(at + "/_data_stream/{name}", self._data_stream)
            app.router.add_post(at + "/_index_template/_simulate/{name}", self._simulate_template)
        app.router.add_route("*", at + "/_index_template/{name}", self._template)
        app.router.add_post(at + "/_index_template/_simulate_index/{name}", self._simulate)
        app.router.add_get(at + "/{stream}/_settings/index.creation_date", self._creation_dates)
        app.router.add_post(at + "/{index}/_mget", self._mget)
        app.router.add_post(at + "/{stream}/_search", self._search)
        app.router.add_get(at + "/_ingest/pipeline/{name}", self._pipeline)
        if self._privileges is not None:
            app.router.add_post(at + "/_security/user/_has_privileges", self._has_privileges)
        return runner_of(app)

    def documents(self, stream: str) -> list[tuple[str, bytes]]:
        """Id and text of every document of a data stream; an id that two backing indices hold comes twice."""
        return [pair for _, documents in self.streams.get(stream, {}).values() for pair in documents.items()]

    def rollover(self, stream: str) -> None:
        """Give a data stream a new backing index to write to."""
        indices = self.streams.setdefault(stream, {})
        indices[f".ds-{stream}-{len(indices) + 1:06d}"] = (time.time_ns() // 1_000_000, {})

    def apply(self, bulk: Bulk, items: Mapping[int, Json] | None = None) -> Json:
        """Carry out a bulk request. ``items`` are those that get a fixed answer instead. The whole answer."""
        answers = []
        for i, operation in enumerate(bulk.operations):
            fixed = items.get(i) if items else None
            # What is there already was not to be refused for its content, and is not now.
            if fixed is None or (fixed["status"] in (400, 413) and self._is_newest(bulk.stream, operation.record)):
                answer = self._create(bulk, operation)
            else:
                answer = {"_index": bulk.stream, "_id": operation.record, **fixed}
            answers.append({operation.action: answer})
        errors = any("error" in next(iter(answer.values())) for answer in answers)
        return {"errors": errors, "took": 1, "items": answers}

    # One request at a time.

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if self._authorization is not None and request.headers.get("authorization") != self._authorization:
            return json_answer(401, {"error": {"type": "security_exception", "reason": "unable to authenticate"}})
        if self._gate is not None and (refusal := await self._gate.refusal(request)) is not None:
            return refusal
        return await handler(request)

    async def _bulk(self, request: web.Request) -> web.StreamResponse:
        if self.faults and isinstance(self.faults[0], BeforeReading):
            return await self.faults.popleft().strike(request)  # type: ignore[union-attr]
        wire = await request.read()
        body = gzip.decompress(wire) if request.headers.get("content-encoding") == "gzip" else wire
        if len(body) > self._max_body:
            return web.Response(status=413, headers={"connection": "close"})
        if not body.endswith(b"\n"):
            return json_answer(400, error_of("illegal_argument_exception", "must be terminated by a newline"))
        if self.is_opensearch and (unknown := request.query.keys() - OPENSEARCH_PARAMETERS):
            return json_answer(400, error_of("illegal_argument_exception", f"unrecognized parameter: {unknown}"))
        lines = body.split(b"\n")[:-1]
        operations = []
        try:
            for action, document in zip(lines[::2], lines[1::2], strict=True):
                ((verb, meta),) = json.loads(action).items()
                operations.append(Operation(verb, meta["_id"], document))
        except (ValueError, AttributeError, KeyError, TypeError):
            return json_answer(400, error_of("illegal_argument_exception", "Malformed action/metadata line"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        bulk = Bulk(request.match_info["stream"], operations, headers, dict(request.query), len(wire))
        self.bulks.append(bulk)
        if self.faults:
            return await self.faults.popleft()(self, request, bulk)  # type: ignore[operator]
        return json_answer(200, self.apply(bulk), request.query.get("filter_path"))

    def _is_newest(self, stream: str, record: str) -> bool:
        """Whether the index now written to holds the record."""
        return bool(self.streams.get(stream)) and record in list(self.streams[stream].values())[-1][1]

    def _create(self, bulk: Bulk, operation: Operation) -> Json:
        """The item of one ``create``."""
        stream = bulk.stream
        pipeline = bulk.query.get("pipeline")
        if pipeline not in (None, "_none", *self.pipelines):
            return _failed(stream, operation, 400, "illegal_argument_exception", _no_pipeline(str(pipeline)))
        if pipeline in self.failing_pipelines:
            return _failed(stream, operation, 400, "illegal_argument_exception", "field [duration] not present")
        if stream not in self.streams:
            if self._template_for(stream) is None:
                return _failed(stream, operation, 404, "index_not_found_exception", f"no such index [{stream}]")
            self.rollover(stream)
        index, (_, documents) = list(self.streams[stream].items())[-1]
        problem = None if self.unrefusing else _problem(operation.document)
        if operation.record in self.poisoned:
            problem = "this record is refused"
        if problem is not None:
            return _failed(index, operation, 400, "document_parsing_exception", problem)
        if operation.record in documents:
            kind, reason = "version_conflict_engine_exception", "document already exists"
            return _failed(index, operation, 409, kind, reason)
        documents[operation.record] = operation.document
        return {"_index": index, "_id": operation.record, "status": 201}

    async def _template(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if request.method == "PUT":
            template = json.loads(await request.read())
            if self.is_opensearch and (unknown := template["template"].keys() - OPENSEARCH_TEMPLATE):
                return json_answer(400, error_of("x_content_parse_exception", f"unknown field {unknown}"))
            self.templates[name] = template
            return json_answer(200, {"acknowledged": True})
        if name not in self.templates:
            return json_answer(
                404, error_of("resource_not_found_exception", f"index template matching [{name}] not found")
            )
        return json_answer(200, {"index_templates": [{"name": name, "index_template": self.templates[name]}]})

    def _template_for(self, stream: str, added: Json | None = None) -> Json | None:
        """The template that applies to a data stream, as if ``added`` were installed too."""
        fitting = [
            template
            for template in (*self.templates.values(), *filter(None, [added]))
            if any(fnmatch.fnmatchcase(stream, pattern) for pattern in template["index_patterns"])
        ]
        return max(fitting, key=lambda template: int(template["priority"]), default=None)

    async def _data_stream(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self.streams:
            return json_answer(404, error_of("index_not_found_exception", f"no such index [{name}]"))
        applies = self._template_for(name)
        found = [key for key, template in self.templates.items() if template is applies]
        return json_answer(200, {"data_streams": [{"name": name, "template": found[0]} if found else {"name": name}]})

    async def _simulate_template(self, request: web.Request) -> web.StreamResponse:
        template = self.templates[request.match_info["name"]]
        return json_answer(200, {"template": template["template"]}, request.query.get("filter_path"))

    async def _simulate(self, request: web.Request) -> web.StreamResponse:
        if self.is_opensearch and request.match_info["name"] in self.streams:
            return json_answer(500, error_of("illegal_state_exception", "data stream names need to be unique"))
        added = json.loads(await request.read() or b"null")
        template = self._template_for(request.match_info["name"], added)
        answer = {} if template is None else {"template": template["template"], "overlapping": []}
        return json_answer(200, answer, request.query.get("filter_path"))

    async def _creation_dates(self, request: web.Request) -> web.StreamResponse:
        stream = request.match_info["stream"]
        if self.looks:
            return web.Response(status=self.looks.popleft())
        if stream not in self.streams:
            return json_answer(404, error_of("index_not_found_exception", f"no such index [{stream}]"))
        dates = {name: str(created) for name, (created, _) in self.streams[stream].items()}
        return json_answer(
            200, {name: {"settings": {"index": {"creation_date": date}}} for name, date in dates.items()}
        )

    async def _mget(self, request: web.Request) -> web.StreamResponse:
        index = request.match_info["index"]
        documents = next((indices[index][1] for indices in self.streams.values() if index in indices), {})
        asked = json.loads(await request.read())["ids"]
        found = [{"_id": record, "found": record in documents} for record in asked]
        return json_answer(200, {"docs": found}, request.query.get("filter_path"))

    async def _pipeline(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        return json_answer(200, {name: {}}) if name in self.pipelines else json_answer(404, {})

    async def _search(self, request: web.Request) -> web.StreamResponse:
        """By ids, and nothing else."""
        stream = request.match_info["stream"]
        if stream not in self.streams:
            return json_answer(404, error_of("index_not_found_exception", f"no such index [{stream}]"))
        asked = json.loads(await request.read())
        wanted = set(asked["query"]["ids"]["values"]) - self.unrefreshed
        hits = [
            {"_index": index, "_id": record}
            for index, (_, documents) in self.streams[stream].items()
            for record in documents
            if record in wanted
        ]
        answer = {"took": 1, "timed_out": False, "hits": {"hits": hits[: asked["size"]]}}
        return json_answer(200, answer, request.query.get("filter_path"))

    async def _has_privileges(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        held = self._privileges or {}
        cluster = {name: held.get(name, True) for name in asked["cluster"]}
        index = {
            name: {privilege: held.get(privilege, True) for privilege in entry["privileges"]}
            for entry in asked["index"]
            for name in entry["names"]
        }
        return json_answer(200, {"username": "writer", "cluster": cluster, "index": index})


# Answers.


def _problem(text: bytes) -> str | None:
    """Why a document would be refused: what the fake has of mappings."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return str(error)
    return None if "@timestamp" in document else "data stream timestamp field [@timestamp] is missing"


def _no_pipeline(name: str) -> str:
    return f"pipeline with id [{name}] does not exist"


def _failed(index: str, operation: Operation, status: int, kind: str, reason: str) -> Json:
    return {"_index": index, "_id": operation.record, "status": status, **error_of(kind, reason)}


def error_of(kind: str, reason: str) -> Json:
    """The error as it stands in an item or in an answer."""
    return {"error": {"type": kind, "reason": reason}}


def json_answer(status: int, value: Json, filter_path: str | None = None) -> web.Response:
    """An answer, cut down to what ``filter_path`` asks for."""
    if filter_path is not None:
        value = _filtered(value, [path.split(".") for path in filter_path.split(",")]) or {}
    text = json.dumps(value, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json")


def _filtered(value: Any, paths: list[list[str]]) -> Any:
    """What of a value lies on the paths, as ``filter_path`` does it: lists are passed through, what becomes empty
    vanishes."""
    if any(not path for path in paths):
        return value
    if isinstance(value, list):
        return [kept for item in value if (kept := _filtered(item, paths)) not in (None, {}, [])]
    if not isinstance(value, dict):
        return None
    picked = {}
    for key, inner in value.items():
        deeper = [path[1:] for path in paths if path[0] in (key, "*")]
        if deeper and (kept := _filtered(inner, deeper)) not in (None, {}, []):
            picked[key] = kept
    return picked
