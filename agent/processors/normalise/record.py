"""The reference path: one record at a time, plain and complete. The column path must give the same for every record
it takes."""

from collections.abc import Mapping

from agent.processors.normalise.clock import READ
from agent.processors.normalise.spellings import Rule
from agent.processors.normalise.tolerant import Record
from agent.values import Value


def read_record(record: Record, rules: Mapping[str, Rule], read_at: bytes) -> dict[str, Value]:
    """The places a flat record fills.

    Every key whose value does not take a place, or takes one in other words, is kept under ``fields``. A record
    without a readable time gets the time it was read, and says so.
    """
    places: dict[str, Value] = {}
    beside: dict[str, Value] = {}
    claims: dict[str, list[tuple[int, str]]] = {}
    for key, value in record.items():
        if rule := rules.get(key):
            claims.setdefault(rule.place, []).append((rule.rank, key))
        else:
            places[f"fields.{key}"] = value
    for claimants in claims.values():
        taken = False
        for _, key in sorted(claimants):
            value = record[key]
            reading = None if taken else rules[key].reader.read(bytes(value))
            if reading:
                taken = True
                (place, text), *others = reading.filled
                places[place] = text
                beside.update(others)
            if not (reading and reading.exact):
                places[f"fields.{key}"] = value
    for place, value in beside.items():
        places.setdefault(place, value)
    if "@timestamp" not in places:
        places["@timestamp"] = read_at
        places["labels.timestamp"] = READ
    return places
