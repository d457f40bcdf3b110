"""Settings of the ``elasticsearch`` output."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.options import TlsClientOptions

Host = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2000)]
NonEmpty = Annotated[str, Meta(min_length=1)]
Fingerprint = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")]


class ElasticsearchConfig(
    TlsClientOptions, tag_field="type", tag="elasticsearch", kw_only=True, forbid_unknown_fields=True
):
    """Elasticsearch 8.19 and later, 9.x, Elastic Cloud, and what speaks the same bulk API."""

    hosts: Annotated[
        list[Host],
        Meta(
            max_length=100,
            description="Addresses, each with scheme, port and path prefix if any: `https://es:9200/prefix`.",
        ),
    ] = []
    cloud_id: Annotated[str | None, Meta(description="Elastic Cloud's id of the deployment, instead of `hosts`.")] = (
        None
    )
    username: Annotated[str | None, Meta(description="User for basic authentication, with `password`.")] = None
    password: Annotated[Secret | None, Meta(description="Password for basic authentication.")] = None
    api_key: Annotated[Secret | None, Meta(description="API key as Elasticsearch's `encoded` form, or `id:key`.")] = (
        None
    )
    ca_fingerprint: Annotated[
        Fingerprint | None,
        Meta(description="SHA-256 of the certificate authority's certificate, as Elasticsearch prints it."),
    ] = None
    headers: Annotated[dict[str, Secret], Meta(description="Further headers for every request.")] = {}
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
    retention: Annotated[
        Duration | None, Meta(description="How long Elasticsearch keeps the records at least. Default: for ever.")
    ] = None
    request_timeout: Annotated[
        Duration, Meta(gt=0, description="How long a request may take before it is sent again.")
    ] = 60.0
    connect_timeout: Annotated[
        Duration, Meta(gt=0, description="How long connecting may take before another host is tried.")
    ] = 10.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if bool(self.hosts) == bool(self.cloud_id):
            yield "hosts", "give either `hosts` or `cloud_id`"
        if (self.username is None) != (self.password is None):
            yield "username", "`username` and `password` go together"
        if self.api_key is not None and self.username is not None:
            yield "api_key", "give either `api_key` or `username` and `password`"
        yield from TlsClientOptions.problems(self)
        if self.ca_fingerprint is not None:
            if self.ca_file is not None:
                yield "ca_fingerprint", "give either `ca_file` or `ca_fingerprint`"
            if self.proxy is not None:
                yield "ca_fingerprint", "a fingerprint cannot be looked up through a proxy; give `ca_file`"
            if self.verify == "none":
                yield "ca_fingerprint", "`verify: none` would not look at the fingerprint"
        if self.proxy is not None and not self.proxy.startswith(("http://", "https://")):
            yield "proxy", "a proxy is an `http://` or `https://` address"
        for name in sorted({key.lower() for key in self.headers} & OWN_HEADERS):
            yield "headers", f"the header `{name}` is set by the output itself"
        rest = self.data_stream.replace("{dataset}", "").replace("{namespace}", "")
        if "{" in rest or "}" in rest:
            yield "data_stream", "only `{dataset}` and `{namespace}` can stand for something"


OWN_HEADERS = {"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "connection"}
"""Headers that belong to the request's body and connection: not for the configuration to set."""
