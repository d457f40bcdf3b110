"""Documents as the body of a request."""

from typing import Final, Literal

Form = Literal["ndjson", "json"]

CONTENT_TYPES: Final[dict[Form, str]] = {"ndjson": "application/x-ndjson", "json": "application/json"}


def body_of(documents: list[bytes], form: Form) -> bytes:
    """The documents byte for byte, one a line, or as one array."""
    if form == "ndjson":
        return b"\n".join((*documents, b""))
    return b"[%b]" % b",\n".join(documents)
