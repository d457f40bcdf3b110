"""Asks Elasticsearch, or OpenSearch, which records are there, by id, and writes nothing.

One search over the data stream finds nearly all of them, however many backing indices it has. It shows only what a
refresh has shown, so what it does not find is asked for once more with ``_mget``, which sees every document, in each
backing index that was written to since the records got their ids.
"""

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from agent.errors import Retryable
from agent.outputs.elasticsearch import doubt
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.dialect import Dialect, elasticsearch
from agent.outputs.elasticsearch.names import data_stream_name, segment

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Answer, Connection

_MAX_HITS: Final = 10_000
"""What one search may give by the server's own limit. Asked for fewer ids there is room for doubles."""


class _Hit(msgspec.Struct):
    id: str = msgspec.field(name="_id")


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Search(msgspec.Struct):
    timed_out: bool  # always there, so that another server's answer is not taken for "nothing found"
    hits: _Hits = msgspec.field(default_factory=_Hits)


class _Error(msgspec.Struct):
    type: str = ""


class _NotFound(msgspec.Struct):
    error: _Error


class BulkLookup:
    """See the module. Needs the privileges ``read`` and ``view_index_metadata``."""

    def __init__(self, data_stream: str, dialect: Dialect) -> None:
        self._data_stream = data_stream
        self._dialect = dialect
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        self._connection = await self._dialect.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        await self._connection.close()

    async def missing(self, stream: str, ids: Sequence[str]) -> list[str]:
        """Which of the records are in no backing index of their data stream. At most ``5000`` ids."""
        there = await self._searched(stream, ids)
        rest = [record for record in ids if record not in there]
        if rest:
            for index in await self._places(stream, rest):
                if rest:
                    found = await self._looked_up(index, rest)
                    rest = [record for record in rest if record not in found]
        return rest

    async def kept_since_ms(self, stream: str) -> int | None:
        """When the oldest backing index was made; None when there is none."""
        indices = await self._indices(stream)
        return indices[0][0] if indices else None

    async def _searched(self, stream: str, ids: Sequence[str]) -> set[str]:
        name = data_stream_name(self._data_stream, stream)
        # A search that some shards did not answer is an error, not a shorter answer.
        target = f"/{segment(name)}/_search?allow_partial_search_results=false&filter_path=timed_out,hits.hits._id"
        query = {
            "size": _MAX_HITS,
            "_source": False,
            "track_total_hits": False,
            "sort": ["_doc"],
            "query": {"ids": {"values": ids}},
        }
        answer = await self._ask("POST", target, msgspec.json.encode(query))
        if _is_absent(answer):
            return set()
        found = self._dialect.decoded(answer, msgspec.json.Decoder(_Search).decode)
        if found.timed_out:
            raise Retryable("the search was given up before all shards had answered")
        return {hit.id for hit in found.hits.hits}

    async def _places(self, stream: str, ids: Sequence[str]) -> list[str]:
        """The backing indices that may hold the records, the newest first."""
        indices = await self._indices(stream)
        return doubt.places_to_look(indices, doubt.made_at_millis(ids), newest=True)[::-1]

    async def _indices(self, stream: str) -> list[tuple[int, str]]:
        name = data_stream_name(self._data_stream, stream)
        listed = await self._ask("GET", doubt.creation_dates_target(name))
        return [] if _is_absent(listed) else self._dialect.decoded(listed, doubt.read_creation_dates)

    async def _looked_up(self, index: str, ids: Sequence[str]) -> set[str]:
        found = await self._ask("POST", doubt.lookup_target(index), doubt.lookup_body(ids))
        if _is_absent(found):  # retention has just removed the index
            return set()
        return self._dialect.decoded(found, partial(doubt.read_found, ids=ids))

    async def _ask(self, method: str, target: str, body: bytes | None = None) -> "Answer":
        assert self._connection is not None
        return await self._connection.ask(method, target, body)


class ElasticsearchLookup(BulkLookup):
    """Asks Elasticsearch."""

    def __init__(self, config: ElasticsearchConfig) -> None:
        super().__init__(config.data_stream, elasticsearch(config))


def _is_absent(answer: "Answer") -> bool:
    """Whether the server says that there is no such index or data stream. A 404 of anybody else says nothing."""
    if answer.status != 404:
        return False
    try:
        return msgspec.json.decode(answer.body, type=_NotFound).error.type == "index_not_found_exception"
    except (ValueError, RecursionError):
        return False
