"""Settings of the outputs to AWS."""

from collections.abc import Iterator
from typing import Annotated, Protocol

from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.options import OutputOptions

NonEmpty = Annotated[str, Meta(min_length=1)]


class AwsOptions(OutputOptions, kw_only=True, forbid_unknown_fields=True):
    """What an output to AWS can be told. Without keys or a profile, AWS's own ways are gone: environment, web identity
    (EKS), container (ECS), instance."""

    region: Annotated[NonEmpty | None, Meta(description="Region. Default: what the environment says.")] = None
    endpoint: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+/?$")] | None,
        Meta(description="Address of a service that speaks the same protocol, instead of AWS's own."),
    ] = None
    access_key_id: Annotated[Secret | None, Meta(description="Access key, with `secret_access_key`.")] = None
    secret_access_key: Annotated[Secret | None, Meta(description="The access key's secret.")] = None
    session_token: Annotated[Secret | None, Meta(description="Token of temporary credentials.")] = None
    profile: Annotated[NonEmpty | None, Meta(description="Profile of AWS's own configuration files.")] = None
    request_timeout: Annotated[
        Duration, Meta(gt=0, description="How long a request may take before it is sent again.")
    ] = 60.0
    connect_timeout: Annotated[Duration, Meta(gt=0, description="How long connecting may take.")] = 10.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from problems_of_keys(self)


class Keys(Protocol):
    """What may say who we are."""

    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None
    profile: str | None


def problems_of_keys(keys: Keys) -> Iterator[tuple[str, str]]:
    """What does not go together."""
    if (keys.access_key_id is None) != (keys.secret_access_key is None):
        yield "access_key_id", "`access_key_id` and `secret_access_key` go together"
    if keys.session_token is not None and keys.access_key_id is None:
        yield "session_token", "`session_token` needs `access_key_id` and `secret_access_key`"
    if keys.profile is not None and keys.access_key_id is not None:
        yield "profile", "give either `profile` or keys"
