"""Settings of the status endpoint."""

from typing import Annotated

import msgspec
from msgspec import Meta


class StatusConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`/healthz`, `/readyz`, `/metrics` and `/ledger` over HTTP."""

    enabled: Annotated[bool, Meta(description="Whether to serve them.")] = True
    host: Annotated[str, Meta(description="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one and logs it.")] = 8686
