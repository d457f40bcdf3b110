"""Documents as the body of a request."""

from typing import Final, Literal

from agent.delivery.contract import DeliveryBatch

Format = Literal["ndjson", "json"]

CONTENT_TYPES: Final[dict[Format, str]] = {"ndjson": "application/x-ndjson", "json": "application/json"}


def body_of(batch: DeliveryBatch, form: Format) -> bytes:
    """The documents byte for byte, one a line, or as one array."""
    if form == "ndjson":
        return batch.lines()
    return b"[%b]" % b",\n".join(batch.documents())
