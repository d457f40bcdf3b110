"""Settings of the output ``http``."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.outputs.http_client.options import OWN_HEADERS, HttpClientOptions, Path

HeaderName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", max_length=200)]
Success = Annotated[int, Meta(ge=200, le=599)]


class HttpOutputConfig(HttpClientOptions, tag_field="type", tag="http", kw_only=True, forbid_unknown_fields=True):
    """Any HTTP server that takes documents. At least once; a repeated request carries the same idempotency key."""

    path: Annotated[Path, Meta(description="Path of every request, behind a host's prefix; may have a query.")] = "/"
    method: Annotated[Literal["POST", "PUT"], Meta(description="Method of every request.")] = "POST"
    format: Annotated[
        Literal["ndjson", "json"],
        Meta(description="How a body holds its documents: one a line, or as one JSON array."),
    ] = "ndjson"
    success: Annotated[
        list[Success],
        Meta(description="Statuses that say all records were taken. Default: 200 to 299."),
    ] = []
    idempotency_header: Annotated[
        HeaderName | None,
        Meta(description="Header with a hash of the records' ids, the same when a batch is repeated. `null`: none."),
    ] = "Idempotency-Key"

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if self.idempotency_header is not None:
            name = self.idempotency_header.lower()
            if name in OWN_HEADERS or name in {header.lower() for header in self.headers}:
                yield "idempotency_header", f"the header `{name}` has a meaning already"
        yield from HttpClientOptions.problems(self)
