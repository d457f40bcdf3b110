"""Settings of the ``otlp`` input."""

from typing import Annotated

from msgspec import Meta

from agent.config.fields import Size
from agent.inputs.http.config import MIB, ReceiverOptions
from agent.inputs.listen import Address


class OtlpConfig(ReceiverOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="otlp"):
    """Log records sent by OpenTelemetry's SDKs and collectors: OTLP over HTTP at `/v1/logs`, as protobuf (with the
    extra `otlp`) or JSON."""

    listen: Address = "127.0.0.1:4318"
    max_body: Annotated[
        Size,
        Meta(ge=1024, le=256 * MIB, description="Largest body, as sent and as expanded; a larger one is answered 413."),
    ] = 20 * MIB
