"""What an answer to a bulk request means: for the batch an error of ``agent.errors``, for each record its outcome.

Two questions are kept apart. Did the answer come from a bulk request that was carried out? Only a success whose body is
JSON with one item per record says so; anything else in its place (a login page, a truncated body) leaves open what
happened. And what became of each record?

    status of an item            the record
    200, 201                     is there (or in the server's own failure store, which is counted)
    409 on ``create``            is there already: an earlier attempt arrived
    413                          is too large by itself
    429, 5xx                     is sent again; after a 5xx it may be there all the same
    403, 404                     cannot be taken until a person acts; if all records are so, the output pauses
    any other                    is refused for what it is, with the reason
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from agent.delivery.contract import Outcome
from agent.errors import NoAnswer, Paused, SendError
from agent.outputs.http_client.refusal import refusal as status_refusal

T = TypeVar("T")

FILTER_PATH: Final = ",".join(
    (
        "errors",
        "items.*._id",
        "items.*.status",
        "items.*.failure_store",
        "items.*.error.type",
        "items.*.error.reason",
        "items.*.error.caused_by.reason",
    )
)
"""What of the answer is asked for. ``status`` must be among it: an item with nothing left would vanish, and positions
shift. ``_id`` tells whether an item is that of the record in its place.
"""

MAX_PART_CHARS: Final = 400
"""Reasons quote the document; of each of the three parts (type, reason, cause) more than this is cut."""


class _Cause(msgspec.Struct):
    reason: str | None = None


class _ItemError(msgspec.Struct):
    type: str | None = None
    reason: str | None = None
    caused_by: _Cause | None = None


class _Item(msgspec.Struct):
    status: int
    id: str | None = msgspec.field(name="_id", default=None)
    error: _ItemError | None = None
    failure_store: str | None = None


class _Bulk(msgspec.Struct):
    errors: bool
    items: list[dict[str, _Item]] = []


class _Cluster(msgspec.Struct):
    """A whole request that was refused: an error object, or only a sentence, or what a gateway of AWS makes of it."""

    error: _ItemError | str | None = None
    message: str | None = None
    Message: str | None = None


_bulk_decoder = msgspec.json.Decoder(_Bulk)
_refusal_decoder = msgspec.json.Decoder(_Cluster)


def _decode(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """The decoded body. Raises ``ValueError`` (msgspec's errors are) when it is something else.

    Reasons quote documents, and a quoted half of a surrogate pair, which Elasticsearch takes and writes, is refused by
    msgspec: such an answer is read again by the more tolerant standard library.
    """
    try:
        try:
            return decoder.decode(body)
        except ValueError:
            return msgspec.convert(json.loads(body), decoder.type)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def read_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    count: int,
    ids: Callable[[], Sequence[str]],
    product: str = "Elasticsearch",
) -> Outcome:
    """The outcome of a bulk request of ``count`` records to a ``product``, or the ``SendError`` that fits. Header
    names: any case.

    ``ids`` gives the records' ids in the order they were sent; it is called only when not all are well. Items that are
    not in that order, or speak of other records, are no answer: every record would get another's outcome.
    """
    if not 200 <= status < 300:
        raise refusal(status, headers, body, product)
    if _all_created(body, count):
        return Outcome()
    try:
        bulk = _decode(body, _bulk_decoder)
    except ValueError:
        kind = headers.get("content-type", "no content type")
        raise NoAnswer(
            f"the answer is not that of a bulk request (status {status}, {kind}): is this address {product}'s?"
        ) from None
    if len(bulk.items) != count:
        raise NoAnswer(f"the answer speaks of {len(bulk.items)} records, {count} were sent")
    items = [item for entry in bulk.items for item in entry.values()]
    if [item.id for item in items] != list(ids()):
        raise NoAnswer("the answer speaks of other records than were sent, or in another order")
    return _triage(items)


def _all_created(body: bytes, count: int) -> bool:
    """Whether the answer says that every record was created, without decoding it: the usual case, and it is 70 bytes
    per record. Their order does not matter then.
    """
    if not body.startswith(b'{"errors":false') or not body.endswith(b"]}"):
        return False
    if b'"failure_store"' in body:
        return False
    return body.count(b'","status":201}}') == count == body.count(b'{"create":{"_id":"')


def _triage(items: list[_Item]) -> Outcome:
    """The outcome of each record from its item."""
    outcome = Outcome()
    held: dict[int, _Item] = {}
    for i, item in enumerate(items):
        status = item.status
        if status < 300:
            outcome.failure_store += item.failure_store == "used"
        elif status == 409:
            outcome.duplicates += 1
        elif status == 413:
            outcome.too_large[i] = _reason(item.error, status)
        elif status == 429:
            outcome.retry.append(i)
            # A cluster that blocks writing (its disk is full) says 429 too: sending less does not help then.
            outcome.overloaded |= item.error is None or item.error.type != "cluster_block_exception"
        elif status >= 500:
            outcome.retry.append(i)
            outcome.in_doubt = True
        elif status in (403, 404) or _is_pipeline_missing(item.error):
            held[i] = item
        else:
            outcome.rejected[i] = _reason(item.error, status)
    if held and len(held) == len(items):
        raise Paused(_reason(items[0].error, items[0].status))
    outcome.retry = sorted([*outcome.retry, *held])
    return outcome


def _is_pipeline_missing(error: _ItemError | None) -> bool:
    """A missing ingest pipeline refuses every record like a bad document (400), though no record is to blame."""
    reason = (error.reason or "") if error else ""
    return reason.startswith("pipeline with id [") and reason.endswith("does not exist")


def _reason(error: _ItemError | str | None, status: int) -> str:
    """What the server said, in one line of bounded length. Each part is cut by itself: the cause stands last."""
    parts: list[str | None] = []
    if isinstance(error, str):
        parts = [error]
    elif error is not None:
        parts = [error.type, error.reason, error.caused_by.reason if error.caused_by else None]
    texts = [" ".join(part.encode("utf-8", "replace").decode().split()) for part in parts if part]
    cut = [text if len(text) <= MAX_PART_CHARS else text[: MAX_PART_CHARS - 1] + "…" for text in texts]
    return ": ".join(cut) or f"status {status}"


def refusal(status: int, headers: Mapping[str, str], body: bytes, product: str = "Elasticsearch") -> SendError:
    """The error that a status other than success stands for. Nothing of the batch was taken, except where it is
    ``NoAnswer``.
    """
    try:
        answer = _decode(body, _refusal_decoder)
        said = _reason(answer.error or answer.message or answer.Message, status)
    except ValueError:
        said = f"status {status}"
    return status_refusal(status, headers, said, product)
