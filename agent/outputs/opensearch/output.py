"""The output, and what asks for records by id: those of Elasticsearch, in OpenSearch's dialect."""

from typing import TYPE_CHECKING

import msgspec

from agent.outputs.elasticsearch.names import segment
from agent.outputs.elasticsearch.output import BulkOutput
from agent.outputs.elasticsearch.template import PRIORITY
from agent.outputs.elasticsearch.verify import BulkLookup
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.dialect import opensearch

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Answer


class _DataStream(msgspec.Struct):
    template: str | None = None


class _DataStreams(msgspec.Struct):
    data_streams: list[_DataStream] = []


class _Priority(msgspec.Struct):
    priority: int = 0


class _Template(msgspec.Struct):
    index_template: _Priority


class _Templates(msgspec.Struct):
    index_templates: list[_Template]


def _read_priority(body: bytes) -> int:
    """That of the one template asked for. Raises ``ValueError``."""
    (template,) = msgspec.json.decode(body, type=_Templates).index_templates
    return template.index_template.priority


class OpensearchOutput(BulkOutput):
    """Sends to OpenSearch."""

    def __init__(self, config: OpensearchConfig) -> None:
        super().__init__(config, opensearch(config))

    async def _template_mark(self, stream: str, added: object = None) -> int | None:
        """The same. OpenSearch cannot simulate a data stream that exists, as its name is taken; but that says by itself
        which template applies to it.
        """
        there = await self._ask("GET", f"/_data_stream/{segment(stream)}?filter_path=data_streams.template")
        if there.status == 404:
            return await super()._template_mark(stream, added)
        if there.status == 403:
            return self._mark_in(there)
        found = self._dialect.decoded(there, msgspec.json.Decoder(_DataStreams).decode).data_streams
        if not found or found[0].template is None:  # none applies to it
            return self._dialect.template_version if added is not None else None
        name = segment(found[0].template)
        if added is None:
            target = f"/_index_template/_simulate/{name}?filter_path=template.mappings._meta"
            return self._mark_in(await self._ask("POST", target))
        answer = await self._ask("GET", f"/_index_template/{name}?filter_path=index_templates.index_template.priority")
        priority = self._dialect.decoded(answer, _read_priority)
        return self._dialect.template_version if priority < PRIORITY else None

    async def _ask(self, method: str, target: str) -> "Answer":
        connection = await self._connected()
        return await connection.ask(method, target)


class OpensearchLookup(BulkLookup):
    """Asks OpenSearch."""

    def __init__(self, config: OpensearchConfig) -> None:
        super().__init__(config.data_stream, opensearch(config))
