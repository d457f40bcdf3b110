"""Which records arrived although their request had no answer.

A repeated ``create`` of the same id answers 409 within one backing index. But when the data stream rolled over since,
the earlier attempt may lie in an older backing index, where ``create`` does not look. So the backing indices that were
written to since the records got their ids are asked for the ids. ``_mget`` sees documents that no refresh has shown
yet.

Records that this process sent before are looked for in the newest index too: it may be rolled over between the look and
the request that follows. What an earlier process may have sent is all that the queue held when it ended, gigabytes
perhaps, and is left to the newest index's own 409.

What remains are a rollover in those milliseconds after a restart, and a request without an answer that is still being
carried out while we look.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from agent.outputs.elasticsearch.names import segment

CLOCK_MARGIN_MILLIS: Final = 24 * 3600 * 1000
"""How far this machine's clock and the cluster's may lie apart without a record being missed."""

_MILLIS_DIGITS: Final = 12


class _IndexFacts(msgspec.Struct):
    creation_date: str


class _IndexSettings(msgspec.Struct):
    index: _IndexFacts


class _Index(msgspec.Struct):
    settings: _IndexSettings


class _Found(msgspec.Struct):
    found: bool = False


class _Docs(msgspec.Struct):
    docs: list[_Found] = []


_decode_indices = msgspec.json.Decoder(dict[str, _Index]).decode
_decode_docs = msgspec.json.Decoder(_Docs).decode


def creation_dates_target(stream: str) -> str:
    """Where to ask for the backing indices of a data stream."""
    return f"/{segment(stream)}/_settings/index.creation_date?filter_path=*.settings.index.creation_date"


def read_creation_dates(body: bytes) -> list[tuple[int, str]]:
    """Creation time in milliseconds and name of each backing index, oldest first. Raises ``msgspec.DecodeError`` or
    ``ValueError``.
    """
    dates = {name: int(index.settings.index.creation_date) for name, index in _decode_indices(body).items()}
    # Within a millisecond the generation, the number a backing index's name ends in, says which is older.
    return sorted((date, name) for name, date in dates.items())


def made_at_millis(ids: Sequence[str]) -> int:
    """When the oldest run of these records began, by its own clock: no record of it was sent before."""
    try:
        return min(int(record[:_MILLIS_DIGITS], 16) for record in ids)
    except ValueError:  # not ids of ours: look everywhere
        return 0


def places_to_look(indices: Sequence[tuple[int, str]], since_millis: int, *, newest: bool) -> list[str]:
    """The backing indices that may hold records sent after ``since_millis``; the newest, whose own 409 speaks for it,
    only if asked for.
    """
    earliest = since_millis - CLOCK_MARGIN_MILLIS
    places = [name for (_, name), (replaced, _) in pairwise(indices) if replaced >= earliest]
    return [*places, indices[-1][1]] if newest and indices else places


def lookup_target(index: str) -> str:
    """Where to ask a backing index for ids."""
    return f"/{segment(index)}/_mget?_source=false&filter_path=docs.found"


def lookup_body(ids: Sequence[str]) -> bytes:
    """The question for ``lookup_target``."""
    return msgspec.json.encode({"ids": ids})


def read_found(body: bytes, ids: Sequence[str]) -> set[str]:
    """Which of the ids are there. Raises ``msgspec.DecodeError``, or ``ValueError`` if the answer is not one entry per
    id.
    """
    docs = _decode_docs(body).docs
    if len(docs) != len(ids):
        raise ValueError(f"{len(docs)} answers for {len(ids)} ids")
    return {record for record, doc in zip(ids, docs, strict=True) if doc.found}
