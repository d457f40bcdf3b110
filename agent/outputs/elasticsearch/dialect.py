"""In what Elasticsearch and OpenSearch differ, as far as an output is concerned."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from agent.errors import Paused, Retryable, SendError
from agent.outputs.elasticsearch.answer import refusal
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.names import index_pattern
from agent.outputs.elasticsearch.template import VERSION, index_template

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Answer, Connection

T = TypeVar("T")


class Dialect(msgspec.Struct, frozen=True):
    """One product. ``connect`` makes the connection to its hosts; nothing is sent by it but what that takes.

    ``template`` is the body of the index template for the configured data streams, ``template_version`` the version it
    is marked with. ``bulk_options`` goes into the query of every bulk request. ``has_privileges`` says whether
    Elasticsearch's API of privileges may be asked; ``template_privileges`` are those that looking at templates needs.
    """

    product: str
    connect: Callable[[], Awaitable["Connection"]]
    template: Mapping[str, Any]
    template_version: int
    bulk_options: str
    has_privileges: bool
    template_privileges: str

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> SendError:
        """The error that a status other than success stands for."""
        return refusal(status, headers, body, self.product)

    def decoded(self, answer: "Answer", decode: Callable[[bytes], T]) -> T:
        """The decoded body of a success. Anything else is ``Retryable`` or ``Paused``: no record is to blame for it."""
        if answer.status != 200:
            trouble = self.refusal(answer.status, answer.headers, answer.body)
            raise trouble if isinstance(trouble, Retryable | Paused) else Paused(str(trouble))
        try:
            return decode(answer.body)
        except (ValueError, RecursionError) as error:  # msgspec's errors among them
            raise Paused(f"the answer is not {self.product}'s: {error}: is this address right?") from error


def elasticsearch(config: ElasticsearchConfig) -> Dialect:
    """Elasticsearch's own."""

    async def connection() -> "Connection":
        from agent.outputs.elasticsearch.connect import connect

        return await connect(config)

    return Dialect(
        product="Elasticsearch",
        connect=connection,
        template=index_template(index_pattern(config.data_stream), config.retention),
        template_version=VERSION,
        bulk_options="require_data_stream=true&",
        has_privileges=True,
        template_privileges="manage_index_templates",
    )
