"""What objects are called. Pure.

    <prefix>dataset=<dataset>/dt=YYYY-MM-DD/hour=HH/<first id>_<last id>_<count>_<digest>.<format>

The hour is that of the events, in UTC: a function of each document alone. The rest is a function of the set of record
ids in the object, and no other set has the same: the digest is that of all of them. So the same records in the same
object have the same name in whatever way they came together, and an object of that name holds exactly those records.

The ids of one object are of one run; they are ordered by batch and index, as numbers.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from agent.record import record_id

HOUR_CHARS: Final = len("2026-11-22T10")

_NAME: Final = re.compile(
    r"(?P<run>[^/]+)-(?P<b0>[0-9a-f]+)-(?P<i0>[0-9a-f]+)_(?P=run)-(?P<b1>[0-9a-f]+)-(?P<i1>[0-9a-f]+)"
    r"_(?P<count>\d+)_[0-9a-f]{16}\.(?:ndjson\.gz|parquet)",
    re.ASCII,
)
_PLACE: Final = re.compile(r"dataset=(?P<dataset>[^/]+)/dt=(?P<date>\d{4}-\d\d-\d\d)/hour=(?P<hour>\d\d)/", re.ASCII)

Number = tuple[int, int]
"""Batch and index of a record of some run."""


class Span(NamedTuple):
    """Records of one batch of a run, without a gap."""

    batch: int
    first: int
    records: int


class Name(NamedTuple):
    """What the last part of a name says: whose records, from which to which, how many. Others may lie between."""

    run: str
    first: Number
    last: Number
    records: int

    def may_share(self, other: "Name") -> bool:
        """Whether a record can be in both objects."""
        return self.run == other.run and self.first <= other.last and other.first <= self.last


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same records in order, in as few spans as there can be: one form for each set of records."""
    made: list[Span] = []
    for span in sorted(spans):
        if made and made[-1].batch == span.batch and made[-1].first + made[-1].records == span.first:
            made[-1] = Span(span.batch, made[-1].first, made[-1].records + span.records)
        else:
            made.append(span)
    return made


def name_of(run: str, spans: Iterable[Span]) -> Name:
    """What the name of these records says."""
    ordered = joined(spans)
    last = ordered[-1]
    return Name(run, ordered[0][:2], (last.batch, last.first + last.records - 1), sum(span.records for span in ordered))


def file_name(run: str, spans: Iterable[Span], suffix: str) -> str:
    """The last part of the name of the object that holds exactly these records."""
    ordered = joined(spans)
    name = name_of(run, ordered)
    text = ";".join(f"{span.batch:x}:{span.first:x}+{span.records:x}" for span in ordered)
    digest = blake2b(f"{run};{text}".encode(), digest_size=8).hexdigest()
    return f"{record_id(run, *name.first)}_{record_id(run, *name.last)}_{name.records}_{digest}.{suffix}"


def read_name(key: str) -> Name | None:
    """What the last part of a key says; None when it is not one of ours."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    if found is None:
        return None
    b0, i0, b1, i1 = (int(found[part], 16) for part in ("b0", "i0", "b1", "i1"))
    return Name(found["run"], (b0, i0), (b1, i1), int(found["count"]))


def read_id(record: str) -> tuple[str, int, int]:
    """Run, batch and index of an id."""
    run, batch, index = record.rsplit("-", 2)
    return run, int(batch, 16), int(index, 16)


def dataset_folder(root: str, dataset: str) -> str:
    """Where the objects of a dataset are."""
    return f"{root}dataset={dataset}/"


def day_folder(root: str, dataset: str, day: str) -> str:
    """Where the objects of a day (``2026-11-22``) are."""
    return f"{dataset_folder(root, dataset)}dt={day}/"


def hour_folder(root: str, dataset: str, hour: str) -> str:
    """Where the objects of an hour (``2026-11-22T10``) are."""
    return f"{day_folder(root, dataset, hour[:10])}hour={hour[11:]}/"


def read_hour(key: str) -> str | None:
    """The hour of a key's object, as ``2026-11-22T10``."""
    found = _PLACE.search(key)
    return f"{found['date']}T{found['hour']}" if found else None
