"""Which objects a Kinesis record becomes, and what they are called. Pure; ``archive`` puts them into S3.

    <prefix>dataset=<dataset>/dt=<YYYY-MM-DD>/hour=<HH>/<run>_<last>_<first>_<shard>-<sequence>.ndjson.gz

A record's documents are parted by dataset, hour of ``@timestamp`` (UTC) and run of the agent: mostly one part, one
object. ``first`` and ``last`` are the places of the part's documents within their run. All of the name comes from the
Kinesis record alone, so it is the same in every invocation that brings this record.

Names of one run in one hour sort by their last place. An object that holds a given document lies behind the document's
own place in that order, and begins before it: that is how repeats are found without an index.
"""

import gzip
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .document import Document
from .unit import Unit, place_in_stream

_NAME = re.compile(r"(?P<run>[0-9a-f]{28})_(?P<last>[0-9a-f]{24})_(?P<first>[0-9a-f]{24})_[^/_]+\.ndjson\.gz")
_QUICK = 1


class Partition(NamedTuple):
    """Where repeats of a document can lie: the same dataset, hour and run."""

    folder: str
    run: str

    @property
    def prefix(self) -> str:
        """What all its objects' keys begin with."""
        return f"{self.folder}{self.run}_"


class Part(NamedTuple):
    """The documents of one Kinesis record that lie in one partition, in their order."""

    partition: Partition
    key: str
    documents: Sequence[Document]

    @property
    def places(self) -> tuple[str, str]:
        """The first and the last."""
        return _span(self.documents)


def parts(unit: Unit, prefix: str) -> list[Part]:
    """The parts of a Kinesis record."""
    groups: dict[Partition, list[Document]] = {}
    for document in unit.documents:
        folder = f"{prefix}dataset={document.dataset}/dt={document.date}/hour={document.hour}/"
        groups.setdefault(Partition(folder, document.run), []).append(document)
    made = []
    for partition, documents in groups.items():
        first, last = _span(documents)
        key = f"{partition.prefix}{last}_{first}_{place_in_stream(unit.arrival)}.ndjson.gz"
        made.append(Part(partition, key, documents))
    return made


def may_hold(key: str, first: str, last: str) -> bool:
    """Whether the object of this key may hold documents between two places of its run. A key that is not of our making
    holds none."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    return found is not None and found["first"] <= last and found["last"] >= first


def packed(documents: Iterable[Document]) -> bytes:
    """The object's bytes: the same for the same documents."""
    return gzip.compress(b"".join(document.text + b"\n" for document in documents), _QUICK, mtime=0)


def _span(documents: Sequence[Document]) -> tuple[str, str]:
    places = [document.place for document in documents]
    return min(places), max(places)
