"""Takes Kinesis records to every destination and says from where the stream must be read again.

Records are taken in slices of bounded size, in order. A slice is written to one destination after the other; what a
destination refused for good is set aside. The first Kinesis record that did not get through ends the work on its shard:
Lambda reads it again with all that follow, so going on would be work twice. When the time runs out before a slice, its
first record is named in the same way: what is done is kept.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .arrivals import Arrival, arrivals
from .result import NotKept, Taken
from .unit import Bad, Unit, opened

SLICE_BYTES = 16 * 1024 * 1024
"""A slice ends with the Kinesis record that brings its documents to this many bytes."""


class Destination(Protocol):
    """Where documents go."""

    name: str

    def take(self, units: Sequence[Unit], deadline: float) -> Taken:
        """Write all documents of the units. Writing them again, in any other slice, changes nothing."""


class Aside(Protocol):
    """Where what is bad is kept."""

    def put(self, bad: Sequence[Bad]) -> str:
        """Keep it durably, and say where. Raises ``NotKept``."""


@dataclass
class Report:
    """What an invocation did. ``failed`` maps a shard to the first sequence number that must come again, ``reasons`` to
    why; ``aside`` lists what was set aside, and where."""

    records: int = 0
    documents: int = 0
    bad: int = 0
    put_off: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    aside: list[tuple[str, str]] = field(default_factory=list)

    def answer(self) -> dict[str, list[dict[str, str]]]:
        """What Lambda is told: the first failure of each shard."""
        return {"batchItemFailures": [{"itemIdentifier": sequence} for sequence in self.failed.values()]}


def consume(
    event: Mapping[str, Any],
    destinations: Sequence[Destination],
    aside: Aside | None,
    deadline: float,
    reserve_secs: float,
) -> Report:
    """Take all records of an event to every destination. No slice but the first is begun when less than
    ``reserve_secs`` are left before ``deadline``."""
    report = Report()
    shards: dict[str, list[Arrival]] = {}
    for arrival in arrivals(event):
        shards.setdefault(arrival.shard, []).append(arrival)
        report.records += 1
    begun = False
    for shard, ours in shards.items():
        for units in _slices(ours):
            if begun and time.monotonic() > deadline - reserve_secs:
                report.failed[shard] = units[0].arrival.sequence
                report.reasons[shard] = "the time is up"
                report.put_off += 1
                break
            begun = True
            failed = _taken(units, destinations, aside, deadline, report)
            if failed:
                first = min(failed)
                report.failed[shard] = units[first].arrival.sequence
                report.reasons[shard] = failed[first]
                break
    return report


def _slices(ours: Sequence[Arrival]) -> Iterator[list[Unit]]:
    """The records in order, opened a slice at a time."""
    units: list[Unit] = []
    size = 0
    for arrival in ours:
        units.append(opened(arrival))
        size += units[-1].size_bytes
        if size >= SLICE_BYTES:
            yield units
            units, size = [], 0
    if units:
        yield units


def _taken(
    units: Sequence[Unit], destinations: Sequence[Destination], aside: Aside | None, deadline: float, report: Report
) -> dict[int, str]:
    """Take one slice everywhere. The units that must come again, by position, and why."""
    failed: dict[int, str] = {}
    bad: dict[int, list[Bad]] = {i: list(unit.bad) for i, unit in enumerate(units) if unit.bad}
    report.documents += sum(len(unit.documents) for unit in units)
    for destination in destinations:
        # What already has to come again is not needed now, nor what is behind it.
        taken = destination.take(units[: min(failed, default=len(units))], deadline)
        name = destination.name
        report.stored[name] = report.stored.get(name, 0) + taken.stored
        report.duplicates[name] = report.duplicates.get(name, 0) + taken.duplicates
        failed.update(taken.failed)
        for i, refused in taken.refused:
            bad.setdefault(i, []).append(refused)
    for i, found in sorted(bad.items()):
        if i > min(failed, default=i):
            break
        if aside is None:
            failed.setdefault(i, f"{found[0].reason}; there is no bucket to set it aside in")
            continue
        try:
            report.aside.append((aside.put(found), found[0].reason))
        except NotKept as error:
            failed.setdefault(i, f"{found[0].reason}; {error}")
        else:
            report.bad += len(found)
    return failed
