"""Settings that every output over HTTP has in common, beyond those of TLS."""

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.options import TlsClientOptions

Host = Annotated[str, Meta(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2000)]
Path = Annotated[str, Meta(pattern=r"^/[!-~]*$", max_length=2000)]

OWN_HEADERS = {"content-type", "content-encoding", "content-length", "transfer-encoding", "host", "connection"}
"""Headers that belong to the request's body and connection: not for the configuration to set."""


def has_port(address: str) -> bool:
    """Whether an address with scheme has a port that can be one, or none: then the scheme says it."""
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


class HttpOptions(TlsClientOptions, kw_only=True, forbid_unknown_fields=True):
    """How an output over HTTP connects, and as whom."""

    username: Annotated[str | None, Meta(description="User for basic authentication, with `password`.")] = None
    password: Annotated[Secret | None, Meta(description="Password for basic authentication.")] = None
    headers: Annotated[dict[str, Secret], Meta(description="Further headers for every request.")] = msgspec.field(
        default_factory=dict
    )
    proxy: Annotated[
        Secret | None, Meta(description="HTTP proxy to go through: `http://user:password@proxy:3128`.")
    ] = None
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
        if self.proxy is not None and not (self.proxy.startswith(("http://", "https://")) and has_port(self.proxy)):
            yield "proxy", "a proxy is an `http://` or `https://` address"
        for name in sorted({key.lower() for key in self.headers} & OWN_HEADERS):
            yield "headers", f"the header `{name}` is set by the output itself"
        yield from TlsClientOptions.problems(self)


class HttpClientOptions(HttpOptions, kw_only=True, forbid_unknown_fields=True):
    """The settings of an output that posts to any of several hosts."""

    hosts: Annotated[
        list[Host],
        Meta(
            min_length=1,
            max_length=100,
            description="Addresses, each with scheme, port and path prefix if any. They take turns; one that does not "
            "answer is left out for a while.",
        ),
    ]
    token: Annotated[Secret | None, Meta(description="Token for `Authorization: Bearer`.")] = None
    gzip: Annotated[bool, Meta(description="Whether bodies are compressed.")] = True

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if not all(map(has_port, self.hosts)):
            yield "hosts", "a port is a number from 1 to 65535"
        if self.token is not None and self.username is not None:
            yield "token", "give either `token` or `username` and `password`"
        if (self.token or self.username) and "authorization" in {key.lower() for key in self.headers}:
            yield "headers", "give either the header `authorization`, `token`, or `username` and `password`"
        yield from HttpOptions.problems(self)
