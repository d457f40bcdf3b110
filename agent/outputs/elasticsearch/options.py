"""What the outputs to Elasticsearch and OpenSearch have in common in the configuration."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.options import TlsClientOptions

Host = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2000)]
Hosts = Annotated[
    list[Host],
    Meta(
        max_length=100,
        description="Addresses, each with scheme, port and path prefix if any: `https://es:9200/prefix`.",
    ),
]
NonEmpty = Annotated[str, Meta(min_length=1)]


class ClusterOptions(TlsClientOptions, kw_only=True, forbid_unknown_fields=True):
    """Where the cluster is, who we are there, and which data streams the records go to."""

    hosts: Hosts = msgspec.field(default_factory=list)
    username: Annotated[str | None, Meta(description="User for basic authentication, with `password`.")] = None
    password: Annotated[Secret | None, Meta(description="Password for basic authentication.")] = None
    headers: Annotated[dict[str, Secret], Meta(description="Further headers for every request.")] = msgspec.field(
        default_factory=dict
    )
    proxy: Annotated[
        Secret | None, Meta(description="HTTP proxy to go through: `http://user:password@proxy:3128`.")
    ] = None
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
    request_timeout: Annotated[
        Duration, Meta(gt=0, description="How long a request may take before it is sent again.")
    ] = 60.0
    connect_timeout: Annotated[
        Duration, Meta(gt=0, description="How long connecting may take before another host is tried.")
    ] = 10.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if (self.username is None) != (self.password is None):
            yield "username", "`username` and `password` go together"
        yield from TlsClientOptions.problems(self)
        if self.proxy is not None and not self.proxy.startswith(("http://", "https://")):
            yield "proxy", "a proxy is an `http://` or `https://` address"
        for name in sorted({key.lower() for key in self.headers} & OWN_HEADERS):
            yield "headers", f"the header `{name}` is set by the output itself"
        rest = self.data_stream.replace("{dataset}", "").replace("{namespace}", "")
        if "{" in rest or "}" in rest:
            yield "data_stream", "only `{dataset}` and `{namespace}` can stand for something"


OWN_HEADERS = {"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "connection"}
"""Headers that belong to the request's body and connection: not for the configuration to set."""
