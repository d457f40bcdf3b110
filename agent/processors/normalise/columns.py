"""The column path: records with the same keys, read column by column instead of record by record.

A column whose values are all of the usual form is read by one call of its reader. Where some are not, each value is
read alone, what most of them came to is taken for the column, and the records that differ leave for the reference
path.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple, TypeVar

from agent.processors.normalise.clock import READ
from agent.processors.normalise.reading import ColumnReading, Reading
from agent.processors.normalise.shapes import has_shape
from agent.processors.normalise.spellings import Rule
from agent.values import Column, Value

MAX_KEYS = 64
"""Records with more keys go record by record: nobody logs so many under the same names twice."""

MAX_PLANS = 512

_KIND = bytes.maketrans(b"-123456789", b"0000000000")


R = TypeVar("R")
Values = Callable[[R], Iterable[Value]]


class Plan(NamedTuple):
    """What becomes of each column of records with certain keys.

    ``rules`` has for each key the rule that reads it, or None if it goes to ``fields`` unseen. ``alone``: such
    records cannot be read by columns, because what one key comes to depends on another's value.
    """

    kept: tuple[str, ...]
    rules: tuple[Rule | None, ...]
    alone: bool
    shaped: bool


class Rows(NamedTuple):
    """Records that fill the same places, as columns; ``indexes`` are those of the records given, ascending."""

    places: tuple[str, ...]
    columns: list[Column]
    indexes: Sequence[int]


class Planner:
    """Makes and remembers plans. Memory is bounded: at most ``MAX_PLANS``, of ``MAX_KEYS`` keys each."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.plan = lru_cache(maxsize=MAX_PLANS)(self._plan)

    def _plan(self, keys: tuple[str, ...]) -> Plan:
        found = [self.rules.get(key) for key in keys]
        first: dict[str, Rule] = {}
        for rule in filter(None, found):
            first[rule.place] = min(first.get(rule.place, rule), rule, key=lambda rule: rule.rank)
        chosen = tuple(rule if rule and first[rule.place] is rule else None for rule in found)
        filled = Counter(place for rule in filter(None, chosen) for place in rule.reader.places)
        return Plan(
            kept=tuple(f"fields.{key}" for key in keys),
            rules=chosen,
            alone=any(count > 1 for count in filled.values()),
            shaped=has_shape(keys),
        )

    def contested(self, keys: tuple[str, ...], rule: Rule) -> bool:
        """Whether another of the keys would take the rule's place if it does not."""
        return sum(1 for key in keys if (other := self.rules.get(key)) and other.place == rule.place) > 1


def read_columns(
    records: Sequence[R], values: Values[R], keys: tuple[str, ...], planner: Planner, read_at: bytes
) -> tuple[Rows | None, list[int]]:
    """Records with the same keys as rows, and the indexes of those that have to be read alone. ``values`` gives a
    record's values in the order of the keys."""
    plan = planner.plan(keys)
    indexes: Sequence[int] = range(len(records))
    if plan.alone:
        return None, list(indexes)
    misfits: set[int] = set()
    while True:
        read = _read(records, values, keys, plan, planner)
        if not isinstance(read, set):
            break
        # Some values are of another kind than most. Without them the columns can be read at once after all.
        misfits.update(indexes[at] for at in read)
        fits = [at not in read for at in range(len(records))]
        records, indexes = list(compress(records, fits)), list(compress(indexes, fits))
    places, columns, others = read
    if others:
        fits = [at not in others for at in range(len(records))]
        misfits.update(indexes[at] for at in others)
        indexes = list(compress(indexes, fits))
        columns = [list(compress(column, fits)) for column in columns]
    if "@timestamp" not in places:
        places += ("@timestamp", "labels.timestamp")
        columns += ([read_at] * len(indexes), [READ] * len(indexes))
    return (Rows(tuple(places), columns, indexes) if indexes else None), sorted(misfits)


def _read(
    records: Sequence[R], values: Values[R], keys: tuple[str, ...], plan: Plan, planner: Planner
) -> set[int] | tuple[list[str], list[Column], set[int]]:
    """The places and columns of records, and the indexes of the misfits among them; or only the indexes of records to
    leave out before trying again."""
    places: list[str] = []
    columns: list[Column] = []
    misfits: set[int] = set()
    for kept, rule, column in zip(plan.kept, plan.rules, zip(*map(values, records), strict=True), strict=True):
        reading: ColumnReading | None = None
        if rule is not None:
            reading = rule.reader.read_column(column)
            if reading is None:
                if odd := _of_other_kind(column):
                    return odd
                reading, others = _read_each(rule, column)
                if reading is None and planner.contested(keys, rule):
                    return [], [], set(range(len(records)))
                misfits.update(others)
            if reading:
                places += reading.places
                columns += reading.columns
        if not (reading and reading.exact):
            places.append(kept)
            columns.append(column)
    return places, columns, misfits


def _of_other_kind(column: Column) -> set[int]:
    """The indexes of the values that are not of the kind (string, number, object …) most are."""
    kinds = bytes(bytes(value)[0] for value in column).translate(_KIND)
    usual = Counter(kinds).most_common(1)[0][0]
    return {at for at, kind in enumerate(kinds) if kind != usual}


def _read_each(rule: Rule, column: Column) -> tuple[ColumnReading | None, list[int]]:
    """What most of a column's values come to, None if they do not fit, and the indexes of the others."""
    values = list(map(bytes, column))
    known = {value: rule.reader.read(value) for value in set(values)}
    readings = list(map(known.__getitem__, values))
    forms = [_form(reading) for reading in readings]
    usual = Counter(forms).most_common(1)[0][0]
    others = [index for index, form in enumerate(forms) if form != usual]
    if usual is None:
        return None, others
    places, exact = usual
    nothing: Sequence[Value] = [b""] * len(places)
    texts = [
        [text for _, text in reading.filled] if reading and form == usual else nothing
        for reading, form in zip(readings, forms, strict=True)
    ]
    return ColumnReading(places, tuple(zip(*texts, strict=True)), exact), others


def _form(reading: Reading | None) -> tuple[tuple[str, ...], bool] | None:
    return reading and (tuple(place for place, _ in reading.filled), reading.exact)
