"""Settings every output shares: how records are batched and how trouble is met."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size
from agent.queue.config import MaxLag

BatchBytes = Annotated[Size, Meta(ge=1024, description="Uncompressed size of a batch, as the server counts it.")]
BatchRecords = Annotated[int, Meta(ge=1, description="Records in a batch.")]
BatchAge = Annotated[Duration, Meta(description="How long records wait for company.")]


class DeliveryConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How one output is fed. A batch is sent when the first of its three limits is reached."""

    batch_bytes: BatchBytes = 5 * 1024**2
    batch_records: BatchRecords = 10_000
    batch_age: BatchAge = 0.1
    too_large: Annotated[
        Literal["dead_letter", "truncate"],
        Meta(
            description="What becomes of a single record larger than the other end takes: `dead_letter` keeps all of "
            "it in the dead-letter store, `truncate` delivers its beginning as `event.original` where the output can."
        ),
    ] = "dead_letter"
    max_concurrency: Annotated[
        int, Meta(ge=1, le=64, description="Requests in flight at most; the loop adapts below it.")
    ] = 4
    backoff_initial: Annotated[
        Duration, Meta(gt=0, description="First wait after a failure; doubles, with full jitter.")
    ] = 0.5
    backoff_max: Annotated[Duration, Meta(gt=0, description="Longest wait between two attempts.")] = 30.0
    max_lag: Annotated[
        MaxLag | None,
        Meta(description="How far this output may fall behind when the queue is full; without it, as far as it does."),
    ] = None
