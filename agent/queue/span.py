"""Which records a time range asks for, by the time the agent read them: ``event.created`` of the document."""

from datetime import datetime

import msgspec


class _Event(msgspec.Struct):
    created: datetime | None = None


class _Document(msgspec.Struct):
    event: _Event | None = None


_decode = msgspec.json.Decoder(_Document).decode


class Span(msgspec.Struct, frozen=True):
    """From ``since`` to ``until``, both included and with a zone; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether there is no bound."""
        return self.since is None and self.until is None

    def picks(self, document: bytes) -> bool:
        """Whether the document is asked for. One that does not say when it was read is: too many is better than too
        few."""
        try:
            event = _decode(document).event
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True
        if event is None or event.created is None or event.created.tzinfo is None:
            return True
        return (self.since is None or event.created >= self.since) and (
            self.until is None or event.created <= self.until
        )
