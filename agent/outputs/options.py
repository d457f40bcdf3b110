"""What outputs have in common in the configuration; each output's own struct extends one of these."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import QueryText
from agent.delivery.config import DeliveryConfig
from agent.form import Form

Start = Annotated[
    Literal["now", "oldest"],
    Meta(description="Where an output that is new to a queue begins: with the next record, or at the oldest in it."),
]
PemFile = Annotated[str, Meta(min_length=1)]


class OutputOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every output can be told."""

    id: Annotated[
        str, Meta(description="Name of this output: its cursor in the queue and its counts are kept under it.")
    ] = ""
    start: Start = msgspec.field(name="from", default="now")
    when: Annotated[
        list[QueryText],
        Meta(
            max_length=20,
            description="Only the records that at least one of these queries finds go to this output: "
            '`level>=warning`, `"model:fraud-* -logger:uvicorn.access"`. Without it, all do.',
        ),
    ] = []
    delivery: Annotated[DeliveryConfig, Meta(description="Batching, concurrency and retry.")] = msgspec.field(
        default_factory=DeliveryConfig
    )

    @property
    def form(self) -> Form | None:
        """The form in which this output sends the queue's frames as they lie; None when it takes documents one by
        one."""
        return None


class TlsClientOptions(OutputOptions, kw_only=True, forbid_unknown_fields=True):
    """What an output can be told that may connect through TLS."""

    ca_file: Annotated[
        PemFile | None, Meta(description="PEM file of the certificate authority. Default: the system's own.")
    ] = None
    verify: Annotated[
        Literal["full", "certificate", "none"],
        Meta(description="What of the server's certificate is checked: issuer and host name, the issuer, or nothing."),
    ] = "full"
    client_cert: Annotated[
        PemFile | None, Meta(description="PEM file of the client certificate, its chain included.")
    ] = None
    client_key: Annotated[
        PemFile | None, Meta(description="PEM file of the client certificate's key, unless it is in `client_cert`.")
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if self.client_key is not None and self.client_cert is None:
            yield "client_key", "`client_key` needs `client_cert`"
