"""An output that keeps what it is sent, and fails as it is told to."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import SendError


class TakenThen(NamedTuple):
    """All is taken, and then the sender is told this: ``NoAnswer`` is what a lost answer looks like."""

    error: SendError


Step = SendError | TakenThen | Callable[[DeliveryBatch], Outcome] | None
"""One answer: an error, a function that makes one, "all taken" but something else said, or None for "all taken"."""


class FakeOutput:
    """Takes records by id, once each, as Elasticsearch's ``create`` does. ``script`` is played one step per request,
    then all goes well."""

    def __init__(self, script: Iterable[Step] = (), *, rescues: bool = True, ordered: bool = False) -> None:
        self.id = "fake"
        self.ordered = ordered
        self.taken: dict[str, bytes] = {}
        self.requests: list[int] = []
        self._script = iter(script)
        self._rescues = rescues

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Play the next step of the script."""
        self.requests.append(batch.count)
        if batch.in_doubt and all(record in self.taken for record in batch.ids()):
            return Outcome(duplicates=batch.count)  # it looks up what is in doubt, and has not forgotten
        step = next(self._script, None)
        if isinstance(step, SendError):
            raise step
        outcome = step(batch) if callable(step) else Outcome()
        for refused in (outcome.rejected, outcome.too_large):
            for i in [i for i in refused if batch.ids()[i] in self.taken]:
                del refused[i]  # what is there was not to be refused, and is not now
        missing = {*outcome.retry, *outcome.rejected, *outcome.too_large}
        for i, (record, document) in enumerate(zip(batch.ids(), batch.documents(), strict=True)):
            if i not in missing:
                outcome.duplicates += record in self.taken
                self.taken.setdefault(record, document)
        if isinstance(step, TakenThen):
            raise step.error
        return outcome

    async def check(self) -> list[str]:
        """Always ready."""
        return []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """A form nothing refuses, if this fake has one."""
        if not self._rescues:
            return None
        return b'{"%s":"%s"}' % (b"rescued" if max_bytes is None else b"truncated", record.encode())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None
