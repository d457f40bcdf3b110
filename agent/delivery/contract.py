"""What every output is, and what it is given: ``Output.send(DeliveryBatch) -> Outcome``."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Protocol, runtime_checkable

import msgspec

from agent.queue.frame import Frame, documents_in, ids_of, lines_in


class DeliveryBatch:
    """Records of one data stream on their way to one output, in queue order.

    ``frames`` are whole frames as they lie on disk (deflated, each ended by a sync flush): an output whose wire is
    that of a frame's ``form`` can send it as it is. When records were picked out of frames (``subset``) or re-made
    (``of_documents``) ``frames`` is empty and only ``ids`` and ``documents()`` speak. ``attempt`` counts from 1;
    ``in_doubt`` is True when an earlier attempt had no answer, so some records may have arrived. ``cursor_after``
    is the output's cursor as it will be once the whole batch is delivered, as opaque bytes: an output that has
    transactions stores it in the same one. Only whole batches of an ``ordered`` output, or all it wants of them,
    have it. ``hints`` belongs to the delivery loop: how many answers in a row spoke for the batch being too large
    without saying so. ``is_rescued`` says that the documents are what ``Output.rescue`` made: what refused them
    before (an ingest pipeline, say) is to be gone around.
    """

    __slots__ = (
        "_bodies", "_documents", "_ids",
        "attempt", "count", "cursor_after", "frames", "hints", "in_doubt", "is_rescued", "raw_bytes",
        "stream",
    )  # fmt: skip

    def __init__(self, stream: str, frames: Sequence[Frame], bodies: Sequence[bytes]) -> None:
        self.stream = stream
        self.frames = frames
        self.count = sum(frame.count for frame in frames)
        self.raw_bytes = sum(frame.raw_len for frame in frames)
        self.attempt = 1
        self.hints = 0
        self.in_doubt = False
        self.is_rescued = False
        self.cursor_after = b""
        self._bodies = bodies
        self._ids: list[str] | None = None
        self._documents: list[bytes] | None = None

    @classmethod
    def of_documents(cls, stream: str, ids: list[str], documents: list[bytes]) -> "DeliveryBatch":
        """A batch of single records, each with its id and its document (no action line, no newline)."""
        batch = cls(stream, (), ())
        batch._ids, batch._documents = ids, documents
        batch.count = len(ids)
        batch.raw_bytes = sum(map(len, documents))
        return batch

    @property
    def bodies(self) -> Sequence[bytes]:
        """The deflated texts of ``frames``, one each."""
        return self._bodies

    def ids(self) -> list[str]:
        """The record ids, in order."""
        if self._ids is None:
            self._ids = [record for frame in self.frames for record in ids_of(frame)]
        return self._ids

    def documents(self) -> list[bytes]:
        """The documents as JSON text without newline, in order of ``ids()``. Inflated when first asked for."""
        if self._documents is None:
            documents: list[bytes] = []
            for frame, body in zip(self.frames, self._bodies, strict=True):
                documents += documents_in(frame, body)
            self._documents = documents
        return self._documents

    def lines(self) -> bytes:
        """The documents in that order, each ended by a newline. Of frames nothing is kept."""
        if not self.frames:
            return b"\n".join((*self.documents(), b""))
        return b"".join(lines_in(frame, body) for frame, body in zip(self.frames, self._bodies, strict=True))

    def tail(self) -> "DeliveryBatch":
        """A batch that ends with the same record and has no more than can be told without inflating."""
        if self.frames:
            return DeliveryBatch(self.stream, self.frames[-1:], self._bodies[-1:])
        return self.subset([self.count - 1])

    def subset(self, indexes: Iterable[int]) -> "DeliveryBatch":
        """A batch of the records at these indexes, in that order; ``attempt``, ``in_doubt`` and ``is_rescued`` are this
        batch's."""
        ids, documents = self.ids(), self.documents()
        chosen = list(indexes)
        batch = DeliveryBatch.of_documents(self.stream, [ids[i] for i in chosen], [documents[i] for i in chosen])
        batch.attempt, batch.in_doubt, batch.is_rescued = self.attempt, self.in_doubt, self.is_rescued
        return batch


class Outcome(msgspec.Struct):
    """What became of each record of a batch that was answered. A record in none of ``retry``, ``rejected`` and
    ``too_large`` is delivered.

    ``duplicates`` of the delivered ones were there already; ``failure_store`` went to the server's own failure store.
    ``rejected`` and ``too_large`` map an index to the reason the other end gave; ``retry`` lists indexes to be sent
    again. ``overloaded`` says that some of those were too much for the other end just now, ``in_doubt`` that some of
    them may have arrived. ``refused_unnamed`` records were refused by a server that does not say which: they are among
    the delivered.
    """

    duplicates: int = 0
    failure_store: int = 0
    refused_unnamed: int = 0
    retry: list[int] = []
    rejected: dict[int, str] = {}
    too_large: dict[int, str] = {}
    overloaded: bool = False
    in_doubt: bool = False


class Output(Protocol):
    """Sends batches to one destination. It never sleeps, retries or moves a cursor; the delivery loop does.

    An output is an async context manager: connections live between ``__aenter__`` and ``__aexit__``.
    """

    id: str
    ordered: bool
    """Whether batches must be sent one at a time, in queue order."""

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once and classify every record. Trouble with the whole batch is a ``SendError``."""
        ...

    async def check(self) -> list[str]:
        """Can we reach it, are we allowed, is what it needs in place? One sentence per problem; empty means ready.
        Writes nothing."""
        ...

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """The document in a form the destination cannot refuse, or None if there is no such form. With ``max_bytes``,
        no more of the document than that."""
        ...

    async def __aenter__(self) -> "Output": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


@runtime_checkable
class Transactional(Protocol):
    """What an output has beside ``Output`` when it stores its position together with the records, for exactly once.

    It is ``ordered``, takes every batch whole, and has no records to reject. A batch may be empty: then all there is
    to store is the position.
    """

    async def load_cursor(self) -> bytes | None:
        """The ``cursor_after`` of the last batch it stored; None when it has none. Called once, when entered."""
        ...

    async def make_durable(self) -> None:
        """Make everything stored so far survive a power cut. Called before the queue forgets it."""
        ...


class Verifiable(Protocol):
    """A destination that can be asked for records by id, for ``modeltail ledger --verify``. It writes nothing there.

    Like an output it is an async context manager, and what it cannot do is a ``SendError``: then nothing is known.
    """

    async def missing(self, stream: str, ids: Sequence[str]) -> list[str]:
        """Which of these records of one data stream are not there now, in the order they were given in. At most a few
        thousand at a time."""
        ...

    async def kept_since_ms(self, stream: str) -> int | None:
        """Older records may have been removed there by its own retention, in milliseconds since 1970; None when there
        is no telling."""
        ...

    async def __aenter__(self) -> "Verifiable": ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...
