"""Settings of the ``otlp`` output."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.delivery.config import BatchBytes, DeliveryConfig
from agent.outputs.http_client.options import HttpClientOptions, Path


class OtlpDelivery(DeliveryConfig, kw_only=True, forbid_unknown_fields=True):
    """Small batches: encoding one keeps everything else waiting."""

    batch_bytes: BatchBytes = 1024**2


class OtlpOutputConfig(HttpClientOptions, tag_field="type", tag="otlp", kw_only=True, forbid_unknown_fields=True):
    """Log records over OTLP/HTTP to an OpenTelemetry Collector or whatever else takes them. At least once."""

    path: Annotated[Path, Meta(description="Path of every request, behind a host's prefix.")] = "/v1/logs"
    encoding: Annotated[Literal["protobuf", "json"], Meta(description="How records are encoded.")] = "protobuf"
    delivery: Annotated[
        OtlpDelivery, Meta(description="Batching, concurrency and retry. Here `batch_bytes` is 1MiB unless given.")
    ] = msgspec.field(default_factory=OtlpDelivery)
