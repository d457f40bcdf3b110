"""Settings of the ``otlp`` output."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.delivery.config import DeliveryConfig
from agent.outputs.http_client.options import HttpClientOptions, Path


def _delivery() -> DeliveryConfig:
    """Small batches: encoding one keeps everything else waiting."""
    return DeliveryConfig(batch_bytes=1024**2)


class OtlpOutputConfig(HttpClientOptions, tag_field="type", tag="otlp", kw_only=True, forbid_unknown_fields=True):
    """Log records over OTLP/HTTP to an OpenTelemetry Collector or whatever else takes them. At least once."""

    path: Annotated[Path, Meta(description="Path of every request, behind a host's prefix.")] = "/v1/logs"
    encoding: Annotated[Literal["protobuf", "json"], Meta(description="How records are encoded.")] = "protobuf"
    delivery: Annotated[DeliveryConfig, Meta(description="Batching, concurrency and retry.")] = msgspec.field(
        default_factory=_delivery
    )
