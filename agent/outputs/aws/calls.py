"""Many records in calls of a service that takes some and not others: Kinesis and Firehose.

The unit of fate is the service's record, which may hold many documents: they are taken or sent again together. Calls go
one after another. What is known of the records before a call fails is kept: those it took are delivered, whatever
becomes of the others.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.aws.errors import refusal


class Packed(NamedTuple):
    """A record of the service: its data, its partition key if it has one, and the indexes of the documents in it."""

    indexes: Sequence[int]
    data: bytes
    key: str = ""

    @property
    def size(self) -> int:
        """Bytes as the service counts them."""
        return len(self.data) + len(self.key.encode())


Fate = SendError | None
"""What became of one record: None when it was taken."""


def runs(
    documents: Sequence[bytes], indexes: Sequence[int], max_bytes: int, max_count: int = sys.maxsize
) -> Iterator[Sequence[int]]:
    """The indexes of neighbours whose lines are up to so many bytes together, up to so many of them and never none."""
    first = size = 0
    for n, i in enumerate(indexes):
        line = len(documents[i]) + 1
        if n > first and (size + line > max_bytes or n - first == max_count):
            yield indexes[first:n]
            first, size = n, 0
        size += line
    if first < len(indexes):
        yield indexes[first:]


def in_calls(records: Iterable[Packed], max_records: int, max_bytes: int) -> Iterator[list[Packed]]:
    """The records, in order, in as few calls as the limits allow."""
    call: list[Packed] = []
    size = 0
    for record in records:
        if call and (len(call) == max_records or size + record.size > max_bytes):
            yield call
            call, size = [], 0
        call.append(record)
        size += record.size
    if call:
        yield call


def fates(entries: object, count: int, mark: str) -> list[Fate]:
    """What the entries of an answer to so many records say of each; those that were taken carry ``mark``.

    Raises ``NoAnswer`` when they do not.
    """
    if not isinstance(entries, list) or len(entries) != count:
        raise NoAnswer(f"the answer does not speak of the {count} records that were sent: is `endpoint` right?")
    return [_fate(entry, mark) for entry in entries]


def _fate(entry: Mapping[str, Any], mark: str) -> Fate:
    if code := entry.get("ErrorCode"):
        return refusal(str(code), str(entry.get("ErrorMessage", "")))
    return None if entry.get(mark) else NoAnswer(f"a record came back without {mark}")


async def send_calls(calls: Iterable[list[Packed]], put: Callable[[list[Packed]], Awaitable[list[Fate]]]) -> Outcome:
    """Make the calls and merge what they say. ``put`` makes one, and raises when it failed whole.

    Raises the gravest trouble when nothing at all was taken; whatever of the records was not is then sent again.
    """
    outcome = Outcome()
    taken = 0
    alone: list[tuple[Packed, SendError]] = []
    together: list[tuple[Packed, SendError]] = []
    waiting = iter(calls)
    for call in waiting:
        try:
            answer = await put(call)
        except SendError as error:
            # The calls behind it would meet the same, or pass records that are to wait for it.
            together = [(record, error) for records in (call, *waiting) for record in records]
            break
        for record, fate in zip(call, answer, strict=True):
            if fate is None:
                taken += 1
            else:
                alone.append((record, fate))
    troubles = [failure for _, failure in (*together, *alone)]
    if troubles and not taken and (together or not all(map(_is_about_one, alone))):
        raise min(troubles, key=_gravity)
    for record, failure in alone:
        if _is_about_one((record, failure)):
            (index,) = record.indexes
            (outcome.too_large if isinstance(failure, TooLarge) else outcome.rejected)[index] = str(failure)
        else:
            _again(outcome, record, failure)
    for record, failure in together:
        _again(outcome, record, failure)
    outcome.retry.sort()
    return outcome


def _is_about_one(failed: tuple[Packed, SendError]) -> bool:
    """Whether the trouble is with the only document of a record. Of several, who knows which: they are sent again,
    until none of them is taken; then the batch is halved."""
    record, error = failed
    return len(record.indexes) == 1 and isinstance(error, Refused | TooLarge)


def _again(outcome: Outcome, record: Packed, error: SendError) -> None:
    outcome.retry += record.indexes
    # A record whose fate is unknown slows down as a call does: Firehose says nothing else of one too many.
    outcome.overloaded |= isinstance(error, NoAnswer) or (isinstance(error, Retryable) and error.overloaded)
    outcome.in_doubt |= isinstance(error, NoAnswer)


def _gravity(error: SendError) -> int:
    """What may have been taken must not be forgotten; what a person must mend comes before what passes; and only when
    nothing else is in the way it is time to look for a culprit."""
    kinds = (NoAnswer, Paused, Retryable)
    return next((n for n, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))
