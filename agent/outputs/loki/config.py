"""Settings of the ``loki`` output."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Secret
from agent.delivery.config import BatchBytes, DeliveryConfig
from agent.outputs.http_client.options import HttpClientOptions, Path

LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=1024)]
Place = Annotated[str, Meta(pattern=r"^[^.]+(\.[^.]+)*$", max_length=500)]

TENANT_HEADER = "x-scope-orgid"


class LokiDelivery(DeliveryConfig, kw_only=True, forbid_unknown_fields=True):
    """Small batches: Loki counts bytes per second, and takes no push larger than its burst, 6 MB unless raised."""

    batch_bytes: BatchBytes = 1024**2


class LokiConfig(HttpClientOptions, tag_field="type", tag="loki", kw_only=True, forbid_unknown_fields=True):
    """Grafana Loki, and what takes its push API. Each document is a line. At least once."""

    path: Annotated[Path, Meta(description="Path of every push, behind a host's prefix.")] = "/loki/api/v1/push"
    tenant: Annotated[Secret | None, Meta(description="Tenant, sent as `X-Scope-OrgID`. Default: none.")] = None
    labels: Annotated[
        dict[LabelName, Place],
        Meta(
            min_length=1,
            max_length=15,
            description="Labels of a stream, each with the place of the document it is filled from. Every combination "
            "of values is a stream of its own: choose places with few values.",
        ),
    ] = msgspec.field(
        default_factory=lambda: {
            "service_name": "service.name",
            "model": "ml.model.name",
            "level": "log.level",
            "host": "host.name",
        }
    )
    structured_metadata: Annotated[
        dict[LabelName, Place],
        Meta(
            max_length=32,
            description="What goes beside each line without being indexed, each with its place. `{}` for a Loki that "
            "does not allow it.",
        ),
    ] = msgspec.field(default_factory=lambda: {"event_id": "event.id", "trace_id": "trace.id"})
    delivery: Annotated[
        LokiDelivery, Meta(description="Batching, concurrency and retry. Here `batch_bytes` is 1MiB unless given.")
    ] = msgspec.field(default_factory=LokiDelivery)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        if self.tenant is not None and TENANT_HEADER in {name.lower() for name in self.headers}:
            yield "tenant", "give either `tenant` or the header `X-Scope-OrgID`"
        yield from HttpClientOptions.problems(self)
