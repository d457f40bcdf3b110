"""Settings of the output `kafka`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration, Secret
from agent.outputs.options import TlsClientOptions

Broker = Annotated[
    str, Meta(pattern=r"^([^\s:/@,\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$", max_length=300, examples=["broker-1:9092"])
]
NonEmpty = Annotated[str, Meta(min_length=1)]
Compression = Literal["none", "gzip", "zstd"]


class KafkaConfig(TlsClientOptions, tag_field="type", tag="kafka", kw_only=True, forbid_unknown_fields=True):
    """Apache Kafka 2.1 and later, and what speaks its protocol. Needs the extra `kafka`."""

    bootstrap: Annotated[
        list[Broker],
        Meta(min_length=1, max_length=100, description="Brokers to ask for the others: `broker-1:9092`."),
    ]
    topic: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._{}-]+$",
            max_length=200,
            examples=["logs", "logs.{dataset}"],
            description="Topic; `{dataset}` and `{namespace}` stand for the record's own.",
        ),
    ]
    key: Annotated[
        str,
        Meta(
            pattern=r"^(none|model|source|field:.+)$",
            examples=["source", "model", "field:labels.customer", "none"],
            description="What decides on the partition and becomes the record's key: `source` is its host and log "
            "file, `model` the model's name, `field:<place>` any field of the document. With `none` records have no "
            "key, and each batch goes to one partition, by turns.",
        ),
    ] = "source"
    compression: Annotated[
        Compression, Meta(description="What batches are compressed with; `zstd` needs the extra `zstd`.")
    ] = "gzip"
    tls: Annotated[bool, Meta(description="Whether brokers are spoken to through TLS.")] = False
    sasl: Annotated[
        Literal["plain", "scram-sha-256", "scram-sha-512"] | None,
        Meta(description="How the agent proves who it is, with `username` and `password`."),
    ] = None
    username: Annotated[NonEmpty | None, Meta(description="User name for `sasl`.")] = None
    password: Annotated[Secret | None, Meta(description="Password for `sasl`.")] = None
    request_timeout: Annotated[
        Duration,
        Meta(gt=0, description="How long a request may take before it is sent again, under the same numbers."),
    ] = 30.0
    delivery_timeout: Annotated[
        Duration,
        Meta(
            gt=0,
            description="How long a request without an answer is repeated so that the brokers can tell it is the same; "
            "after that its records may be doubled.",
        ),
    ] = 120.0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from TlsClientOptions.problems(self)
        if not self.tls and (self.ca_file is not None or self.client_cert is not None or self.verify != "full"):
            yield "tls", "`ca_file`, `client_cert` and `verify` need `tls: true`"
        if (self.sasl is None) != (self.username is None) or (self.sasl is None) != (self.password is None):
            yield "sasl", "`sasl`, `username` and `password` go together"
        rest = self.topic.replace("{dataset}", "").replace("{namespace}", "")
        if "{" in rest or "}" in rest:
            yield "topic", "only `{dataset}` and `{namespace}` can stand for something"
        if self.topic in (".", ".."):
            yield "topic", "no topic can have this name"


def topic_name(form: str, stream: str) -> str:
    """The topic for a stream of the queue, ``<dataset>-<namespace>``."""
    dataset, _, namespace = stream.partition("-")
    return form.replace("{dataset}", dataset).replace("{namespace}", namespace)
