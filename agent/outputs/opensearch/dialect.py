"""In what OpenSearch differs from Elasticsearch.

Its bulk API cannot be told to write into data streams only (``require_data_stream``), its templates are its own, and of
privileges it has another API, in a plugin; Amazon's service answers what it does not know with a refusal.
"""

from typing import TYPE_CHECKING

from agent.outputs.elasticsearch.dialect import Dialect
from agent.outputs.elasticsearch.names import index_pattern
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.opensearch.template import VERSION, index_template

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Connection


def opensearch(config: OpensearchConfig) -> Dialect:
    """OpenSearch's own."""

    async def connection() -> "Connection":
        from agent.outputs.http_client.opening import open_connection
        from agent.outputs.opensearch.signing import AwsSigner

        return open_connection(config, config.hosts, signer=AwsSigner(config.aws) if config.aws else None)

    return Dialect(
        product="OpenSearch",
        connect=connection,
        template=index_template(index_pattern(config.data_stream)),
        template_version=VERSION,
        bulk_options="",
        has_privileges=False,
        template_privileges="indices:admin/data_stream/get, indices:admin/index_template/*",
    )
