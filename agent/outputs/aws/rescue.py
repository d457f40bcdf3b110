"""A refused document, for a service that looks at sizes and at nothing that is in a document.

When one is refused all the same, the request is to blame, or the document is larger than somebody on the way takes. To
tell them apart the record is sent once more, small and plain: refused even so, it is the request, and the output waits
for a person instead of burying every record there is.
"""

from typing import Final

from agent.outputs.rescue import rescued

SMALL_BYTES: Final = 256 * 1024
"""A document up to this size is too large for nobody."""


def safe_form(record: str, document: bytes, reason: str, max_bytes: int | None) -> bytes | None:
    """The document in ``event.original``, or its beginning where ``max_bytes`` says how much of it; None when all of it
    is wanted and it is not small."""
    if max_bytes is None and len(document) > SMALL_BYTES:
        return None
    return rescued(record, document, reason, max_bytes)
