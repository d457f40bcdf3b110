"""What the outputs to Elasticsearch and OpenSearch have in common in the configuration."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.form import Form
from agent.outputs.http_client.options import Host, HttpOptions

Hosts = Annotated[
    list[Host],
    Meta(
        max_length=100,
        description="Addresses, each with scheme, port and path prefix if any: `https://es:9200/prefix`.",
    ),
]
NonEmpty = Annotated[str, Meta(min_length=1)]


class ClusterOptions(HttpOptions, kw_only=True, forbid_unknown_fields=True):
    """Where the cluster is, who we are there, and which data streams the records go to."""

    hosts: Hosts = msgspec.field(default_factory=list)
    pipeline: Annotated[NonEmpty | None, Meta(description="Ingest pipeline every record goes through.")] = None
    data_stream: Annotated[
        str,
        Meta(
            pattern=r"^[^A-Z\\/*?\"<>|,# :+_.-][^A-Z\\/*?\"<>|,# :]*$",
            max_length=200,
            description="Name of the data stream; `{dataset}` and `{namespace}` stand for the record's own.",
        ),
    ] = "logs-{dataset}-{namespace}"
    setup: Annotated[
        Literal["auto", "never"],
        Meta(description="Whether the index template is installed and kept up to date when the agent starts."),
    ] = "auto"

    @property
    def form(self) -> Form:
        """Bodies of `_bulk`."""
        return Form.BULK

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from HttpOptions.problems(self)
        rest = self.data_stream.replace("{dataset}", "").replace("{namespace}", "")
        if "{" in rest or "}" in rest:
            yield "data_stream", "only `{dataset}` and `{namespace}` can stand for something"
