"""Settings of the ``opensearch`` output."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Secret
from agent.outputs.aws.options import problems_of_keys
from agent.outputs.elasticsearch.options import ClusterOptions, Hosts, NonEmpty


class AwsSigning(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who signs the requests to a domain of Amazon OpenSearch Service. Without keys or a profile, AWS's own ways are
    gone: environment, web identity (EKS), container (ECS), instance."""

    region: Annotated[NonEmpty | None, Meta(description="Region. Default: what the environment says.")] = None
    service: Annotated[
        Literal["es", "aoss"], Meta(description="`es` for a managed domain, `aoss` for a serverless collection.")
    ] = "es"
    access_key_id: Annotated[Secret | None, Meta(description="Access key, with `secret_access_key`.")] = None
    secret_access_key: Annotated[Secret | None, Meta(description="The access key's secret.")] = None
    session_token: Annotated[Secret | None, Meta(description="Token of temporary credentials.")] = None
    profile: Annotated[NonEmpty | None, Meta(description="Profile of AWS's own configuration files.")] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from problems_of_keys(self)


class OpensearchConfig(ClusterOptions, tag_field="type", tag="opensearch", kw_only=True, forbid_unknown_fields=True):
    """OpenSearch 3 and Amazon OpenSearch Service."""

    hosts: Hosts
    aws: Annotated[
        AwsSigning | None,
        Meta(description="Sign every request for AWS, with Signature Version 4; `{}` takes the defaults."),
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if not self.hosts:
            yield "hosts", "give at least one address"
        if self.aws is not None and self.username is not None:
            yield "aws", "give either `aws` or `username` and `password`"
        if self.aws is not None and "authorization" in {name.lower() for name in self.headers}:
            yield "headers", "the header `authorization` is set by `aws`"
        yield from ClusterOptions.problems(self)
