"""Settings of the ``elasticsearch`` output."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.elasticsearch.options import ClusterOptions

Fingerprint = Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")]


class ElasticsearchConfig(
    ClusterOptions, tag_field="type", tag="elasticsearch", kw_only=True, forbid_unknown_fields=True
):
    """Elasticsearch 8.19 and later, 9.x, Elastic Cloud, and what speaks the same bulk API."""

    cloud_id: Annotated[str | None, Meta(description="Elastic Cloud's id of the deployment, instead of `hosts`.")] = (
        None
    )
    api_key: Annotated[Secret | None, Meta(description="API key as Elasticsearch's `encoded` form, or `id:key`.")] = (
        None
    )
    ca_fingerprint: Annotated[
        Fingerprint | None,
        Meta(description="SHA-256 of the certificate authority's certificate, as Elasticsearch prints it."),
    ] = None
    retention: Annotated[
        Duration | None, Meta(description="How long Elasticsearch keeps the records at least. Default: for ever.")
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if bool(self.hosts) == bool(self.cloud_id):
            yield "hosts", "give either `hosts` or `cloud_id`"
        if self.api_key is not None and self.username is not None:
            yield "api_key", "give either `api_key` or `username` and `password`"
        yield from ClusterOptions.problems(self)
        if self.ca_fingerprint is not None:
            if self.ca_file is not None:
                yield "ca_fingerprint", "give either `ca_file` or `ca_fingerprint`"
            if self.proxy is not None:
                yield "ca_fingerprint", "a fingerprint cannot be looked up through a proxy; give `ca_file`"
            if self.verify == "none":
                yield "ca_fingerprint", "`verify: none` would not look at the fingerprint"
