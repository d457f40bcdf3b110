"""The output: sends each batch as one bulk request and says what became of every record.

Before the first batch of a data stream, and again after any answer that pauses the output, it makes sure that the
template which would apply to that stream is ours; with ``setup: auto`` it installs it. Otherwise Elasticsearch's own
``logs-*-*`` would quietly take over, with other mappings and a source that rewrites numbers.
"""

import asyncio
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import msgspec

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Retryable, SendError
from agent.log import Log
from agent.outputs.elasticsearch import doubt
from agent.outputs.elasticsearch.answer import FILTER_PATH, read_answer
from agent.outputs.elasticsearch.body import body_of
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.dialect import Dialect, elasticsearch
from agent.outputs.elasticsearch.names import data_stream_name, index_pattern, segment, template_name
from agent.outputs.elasticsearch.options import ClusterOptions
from agent.outputs.elasticsearch.template import mark_of
from agent.outputs.http_client.refusal import LARGE_BYTES
from agent.outputs.rescue import rescued

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Answer, Connection

log = Log("outputs.elasticsearch")

_BULK_HEADERS: Final = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
_PROBE_STREAM: Final = "modeltail.inference-default"
_MAX_LOOKUP_IDS: Final = 5000
"""Ids asked for in one request: their answer is a few hundred kilobytes."""


class _Simulated(msgspec.Struct):
    template: dict[str, object] | None = None


class _Privileges(msgspec.Struct):
    username: str = "?"
    cluster: dict[str, bool] = {}
    index: dict[str, dict[str, bool]] = {}


class BulkOutput:
    """Sends to what speaks this dialect. Everything it holds lives between ``__aenter__`` and ``__aexit__``; nothing of
    it needs to be durable.
    """

    ordered = False

    def __init__(self, config: ClusterOptions, dialect: Dialect) -> None:
        self.id = config.id
        self._config = config
        self._dialect = dialect
        self._connection: Connection | None = None
        self._checked: set[str] = set()
        self._connecting = asyncio.Lock()
        self._making_ready = asyncio.Lock()
        pipeline = f"&pipeline={quote(config.pipeline, safe='')}" if config.pipeline else ""
        self._query = f"/_bulk?{dialect.bulk_options}filter_path={FILTER_PATH}"
        self._pipeline = pipeline
        self._template = template_name(index_pattern(config.data_stream))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    # Sending.

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once and classify every record. Trouble with the whole batch is a ``SendError``."""
        if batch.count == 0:
            return Outcome()
        stream = data_stream_name(self._config.data_stream, batch.stream)
        if stream not in self._checked:
            async with self._making_ready:
                await self._make_ready(stream)
        there = await self._arrived(stream, batch) if batch.in_doubt else set()
        return await (self._send_rest(stream, batch, there) if there else self._post(stream, batch))

    async def _post(self, stream: str, batch: DeliveryBatch) -> Outcome:
        """One bulk request."""
        connection = await self._connected()
        pieces = body_of(batch)
        try:
            # What a pipeline could not take as it was, it could not take rescued either.
            pipeline = "&pipeline=_none" if batch.is_rescued else self._pipeline
            target = f"/{segment(stream)}{self._query}{pipeline}"
            answer = await connection.ask("POST", target, pieces, _BULK_HEADERS)
        except CutOff as cut:
            if sum(map(len, pieces)) < LARGE_BYTES or not await self._takes_small_requests(stream):
                raise NoAnswer(str(cut)) from cut
            raise
        try:
            return read_answer(
                answer.status, answer.headers, answer.body, batch.count, batch.ids, self._dialect.product
            )
        except Paused:
            self._checked.discard(stream)
            raise

    async def _takes_small_requests(self, stream: str) -> bool:
        """Whether the server answers at all, whatever it says to something small."""
        connection = await self._connected()
        try:
            answer = await connection.ask("GET", doubt.creation_dates_target(stream))
        except SendError:
            return False
        return answer.status < 500 and answer.status != 429

    async def _send_rest(self, stream: str, batch: DeliveryBatch, there: set[str]) -> Outcome:
        """Send what is not there yet; what is there counts as a repeat."""
        missing = [i for i, record in enumerate(batch.ids()) if record not in there]
        if not missing:
            return Outcome(duplicates=batch.count)
        outcome = await self._post(stream, batch.subset(missing))
        return Outcome(
            duplicates=outcome.duplicates + batch.count - len(missing),
            failure_store=outcome.failure_store,
            retry=[missing[i] for i in outcome.retry],
            rejected={missing[i]: reason for i, reason in outcome.rejected.items()},
            too_large={missing[i]: reason for i, reason in outcome.too_large.items()},
            overloaded=outcome.overloaded,
            in_doubt=outcome.in_doubt,
        )

    async def _arrived(self, stream: str, batch: DeliveryBatch) -> set[str]:
        """Which records of a batch in doubt are there already, as far as ``doubt`` says to look; none if we may not."""
        ids = batch.ids()
        connection = await self._connected()
        listed = await connection.ask("GET", doubt.creation_dates_target(stream))
        if listed.status in (403, 404):
            if listed.status == 403:
                log.warning(
                    "Records in doubt cannot be looked up: not allowed",
                    output=self.id,
                    needs="view_index_metadata, read",
                )
            return set()
        indices = self._dialect.decoded(listed, doubt.read_creation_dates)
        there: set[str] = set()
        for index in doubt.places_to_look(indices, doubt.made_at_millis(ids), newest=batch.attempt > 1):
            for start in range(0, len(ids), _MAX_LOOKUP_IDS):
                some = ids[start : start + _MAX_LOOKUP_IDS]
                found = await connection.ask("POST", doubt.lookup_target(index), doubt.lookup_body(some))
                if found.status == 403:
                    log.warning("Records in doubt cannot be looked up: not allowed", output=self.id, needs="read")
                    return there
                if found.status != 404:  # 404: retention has just removed the index
                    there |= self._dialect.decoded(found, partial(doubt.read_found, ids=some))
        return there

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes:
        """The document as one string in ``event.original``, with its time, its identity and the reason."""
        return rescued(record, document, reason, max_bytes)

    # Readiness.

    async def setup(self) -> None:
        """Install the index template, or bring an older one of ours up to date. A newer one stays. Raises a
        ``SendError`` if that cannot be done.
        """
        connection = await self._connected()
        target = f"/_index_template/{segment(self._template)}"
        there = await connection.ask(
            "GET", f"{target}?filter_path=index_templates.index_template.template.mappings._meta"
        )
        version = self._dialect.template_version
        if there.status == 200 and _newer(there.body, version):
            log.info("A newer version of the index template is there", output=self.id, template=self._template)
            return
        done = await connection.ask("PUT", target, msgspec.json.encode(self._dialect.template))
        if done.status != 200:
            trouble = self._dialect.refusal(done.status, done.headers, done.body)
            if isinstance(trouble, Retryable):
                raise trouble
            raise Paused(f"the index template {self._template} cannot be installed: {trouble}")
        self._checked.clear()
        log.info("The index template is installed", output=self.id, template=self._template, version=version)

    async def check(self) -> list[str]:
        """Can we reach it, are we allowed, is what it needs in place? Writes nothing."""
        try:
            problems = await self._privileges_missing()
            problems += await self._pipeline_missing()
            problems += await self._template_missing()
        except SendError as error:
            problems = [str(error)]
        return await self._mistaken() or problems if problems else []

    async def _mistaken(self) -> list[str]:
        """Whether what answers says that it is the other product, which explains whatever else is wrong."""
        try:
            answer = await (await self._connected()).ask("GET", "/?filter_path=tagline")
        except SendError:
            return []
        if answer.headers.get("x-elastic-product"):
            product = "Elasticsearch"
        elif b"The OpenSearch Project" in answer.body:
            product = "OpenSearch"
        else:
            return []
        ours = self._dialect.product
        return [] if product == ours else [f"this is {product}, not {ours}: write `type: {product.lower()}`"]

    async def _template_missing(self) -> list[str]:
        """Whether another template than ours would apply, once the agent has installed ours if it may."""
        stream = data_stream_name(self._config.data_stream, _PROBE_STREAM)
        mark = await self._template_mark(stream)
        if self._config.setup == "auto":
            if mark is None:
                mark = await self._template_mark(stream, self._dialect.template)
            if mark is None:
                return [
                    f"the index template that would apply to {stream} is not modeltail's, but one above or beside it"
                ]
            return []
        if mark is None:
            return [f"the index template that would apply to {stream} is not modeltail's: run `modeltail setup`"]
        if mark < self._dialect.template_version:
            return [f"the index template for {stream} is of an older modeltail: run `modeltail setup`"]
        return []

    async def _make_ready(self, stream: str) -> None:
        """Make sure that the template which would apply to a data stream is ours. One at a time: the others then find
        it done.
        """
        if stream in self._checked:
            return
        mark = await self._template_mark(stream)
        if self._config.setup == "auto" and (mark is None or mark < self._dialect.template_version):
            await self.setup()
            mark = await self._template_mark(stream)
        if mark is None:
            raise Paused(
                f"another index template would apply to {stream}, or none: run `modeltail setup`, "
                "or remove the template that stands above it"
            )
        self._checked.add(stream)

    async def _template_mark(self, stream: str, added: object = None) -> int | None:
        """The version of our template that would apply to a data stream, None if another would. ``added`` is a template
        to be looked at as if it were installed.
        """
        connection = await self._connected()
        target = f"/_index_template/_simulate_index/{segment(stream)}?filter_path=template.mappings._meta"
        answer = await connection.ask("POST", target, None if added is None else msgspec.json.encode(added))
        if answer.status == 400 and added is not None:
            return None  # it collides with one of the same priority: ours, outranked, or not
        return self._mark_in(answer)

    def _mark_in(self, answer: "Answer") -> int | None:
        """The version of our template that a simulation shows, None if it shows another.

        Who may not look is taken at the administrator's word: the version we know.
        """
        if answer.status == 403:
            needs = self._dialect.template_privileges
            log.warning("The index template cannot be looked at: not allowed", output=self.id, needs=needs)
            return self._dialect.template_version
        simulated = self._dialect.decoded(answer, msgspec.json.Decoder(_Simulated).decode)
        return mark_of((simulated.template or {}).get("mappings"))

    async def _privileges_missing(self) -> list[str]:
        """What the user lacks, where the server has users at all."""
        if not self._dialect.has_privileges:
            return []
        connection = await self._connected()
        stream = data_stream_name(self._config.data_stream, _PROBE_STREAM)
        cluster = ["manage_index_templates"] if self._config.setup == "auto" else []
        wanted = {
            "cluster": cluster,
            "index": [
                {"names": [stream], "privileges": ["auto_configure", "create_doc", "read", "view_index_metadata"]}
            ],
        }
        answer = await connection.ask("POST", "/_security/user/_has_privileges", msgspec.json.encode(wanted))
        if answer.status in (400, 404, 405):  # security is off, or this is another kind of server
            return []
        has = self._dialect.decoded(answer, msgspec.json.Decoder(_Privileges).decode)
        missing = [name for name, held in has.cluster.items() if not held]
        missing += [name for held in has.index.values() for name, yes in held.items() if not yes]
        return (
            [f"the user {has.username} lacks the privileges {', '.join(sorted(missing))} on {stream}"]
            if missing
            else []
        )

    async def _pipeline_missing(self) -> list[str]:
        if self._config.pipeline is None:
            return []
        connection = await self._connected()
        answer = await connection.ask(
            "GET", f"/_ingest/pipeline/{quote(self._config.pipeline, safe='')}?filter_path=*.version"
        )
        return [f"there is no ingest pipeline {self._config.pipeline}"] if answer.status == 404 else []

    async def _connected(self) -> "Connection":
        """The connection, made when first needed: an agent without this output does not carry the HTTP client that
        comes with it."""
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._dialect.connect()
            return self._connection


class ElasticsearchOutput(BulkOutput):
    """Sends to Elasticsearch."""

    def __init__(self, config: ElasticsearchConfig) -> None:
        super().__init__(config, elasticsearch(config))


def _newer(answer: bytes, version: int) -> bool:
    """Whether the installed template of our name is a newer version than this."""
    try:
        listed = msgspec.json.decode(answer)
        mappings = listed["index_templates"][0]["index_template"]["template"]["mappings"]
    except (ValueError, RecursionError, KeyError, IndexError, TypeError):
        return False
    mark = mark_of(mappings)
    return mark is not None and mark > version
