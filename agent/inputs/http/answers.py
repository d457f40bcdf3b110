"""What a request is answered with."""

from collections.abc import Mapping
from typing import Final

import msgspec

RETRY_AFTER_SECS: Final = 5
"""What a client that is to come again is asked to wait."""


class Answer(msgspec.Struct):
    """An answer, whatever it is about."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Refusal(Exception):
    """A request that is not taken. Raised wherever that becomes clear; nothing of the request is in the queue.

    ``reason`` is a sentence for the client. ``temporary``: the same request may be taken later.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = {"Retry-After": str(RETRY_AFTER_SECS)} if self.temporary else dict(headers or {})

    @property
    def temporary(self) -> bool:
        """Whether the same request may be taken later."""
        return self.status in (429, 503)


class Refused(msgspec.Struct):
    """Records of a body that were not taken: how many, and the first few by number (lines and elements count from 1)
    with the reason."""

    count: int = 0
    first: list[tuple[int, str]] = []

    def add(self, number: int, reason: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < FIRST_REFUSED:
            self.first.append((number, reason))


FIRST_REFUSED: Final = 10
