"""Lines of a batch into tables of the document's places."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import compress, repeat
from operator import eq, not_
from typing import Annotated, Final, Protocol, TypeVar

import msgspec
from msgspec import Meta

from agent.config.fields import Zone
from agent.processors.normalise.blocks import compacted, read_block
from agent.processors.normalise.columns import MAX_KEYS, Planner, Rows, read_columns
from agent.processors.normalise.record import read_record
from agent.processors.normalise.shapes import has_shape, reshape
from agent.processors.normalise.spellings import Rule, rules
from agent.processors.normalise.text import FAILED, read_line, unparsed
from agent.processors.normalise.times import read_at, zone_of
from agent.processors.normalise.tolerant import MARKS, NO_TEXT, Record, decode, reason, walk
from agent.processors.normalise.usual import UsualKeys, as_dict, values_of
from agent.record import Batch, Table
from agent.values import Column

CHUNK: Final = 704
"""Lines read at a time: what they decode to still lies in the processor's cache when it is read (a batch of thousands
at once takes a third longer), and a block of a file, of lines as models write them, is read in one go."""

USUAL_ROWS: Final = 256
"""More records than this with the same keys, time after time, are worth a decoder of their own."""

MIN_ROWS: Final = 3
"""From this many records with the same keys on, columns are cheaper than records one by one."""


class Parser(Protocol):
    """Takes lines apart that are no JSON object (``agent.processors.parse``). ``marks``: those that do not fit."""

    marks: bool

    def rules(self, zone: tzinfo | None) -> Mapping[str, Rule]:
        """The table of names for its records."""
        ...

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The flat record a line is, None if it does not fit."""
        ...


class NormaliseSettings(msgspec.Struct, frozen=True):
    """What an input's lines are read with."""

    timezone: Annotated[Zone, Meta(description="Zone of times written without one.")] = "UTC"
    dataset: Annotated[str, Meta(description="Dataset part of the data stream's name.")] = "modeltail.inference"
    namespace: Annotated[str, Meta(description="Namespace part of the data stream's name.")] = "default"


class Normaliser:
    """Fills ``batch.tables`` from ``batch.lines``.

    Holds bounded caches only, so one serves all batches of an input. Nothing is refused that the batch does not want
    refused: a line that is no JSON object becomes a message, a value that does not fit goes to ``fields``. Counts
    ``dropped``: ``empty`` (blank lines). Counts ``noted``: ``invalid_utf8`` (bytes replaced by U+FFFD),
    ``not_json_nan`` (``NaN`` or an infinity marked as a string), ``parse_failed`` (began as an object and was none, or
    does not fit the ``parser`` that takes lines apart).
    """

    def __init__(self, settings: NormaliseSettings | None = None, parser: Parser | None = None) -> None:
        self._settings = settings or NormaliseSettings()
        self._zone = zone_of(self._settings.timezone)
        self._planner = Planner(rules(self._zone))
        self._parser = parser
        self._parsed_planner = Planner(parser.rules(self._zone)) if parser else self._planner
        self._usual = UsualKeys()

    def __call__(self, batch: Batch) -> Batch:
        """Fill the tables and counts of a batch, and return it."""
        work = _Work(self, batch)
        for start in range(0, len(batch.lines), CHUNK):
            work.read(start, batch.lines[start : start + CHUNK], blocks=batch.blocks)
        batch.tables = work.tables.made
        return batch


class _Tables:
    """Collects rows into as few tables as possible, each with its rows ascending."""

    def __init__(self, dataset: str, namespace: str) -> None:
        self.made: list[Table] = []
        self._last: dict[tuple[str, ...], tuple[Table, list[list[object]], list[int]]] = {}
        self._stream = (dataset, namespace)

    def add(self, places: tuple[str, ...], columns: Iterable[Column], rows: Sequence[int]) -> None:
        """Add records that have these places filled."""
        last = self._last.get(places)
        if last and last[2][-1] < rows[0]:
            _, into, known = last
            for column, more in zip(into, columns, strict=True):
                column += more
            known += rows
            return
        dataset, namespace = self._stream
        table = Table(places, [list(column) for column in columns], list(rows), dataset=dataset, namespace=namespace)
        self.made.append(table)
        self._last[places] = (table, table.columns, table.rows)  # type: ignore[assignment]


class _Work:
    """The reading of one batch."""

    def __init__(self, owner: Normaliser, batch: Batch) -> None:
        settings = owner._settings
        self.tables = _Tables(settings.dataset, settings.namespace)
        self._planner, self._zone, self._usual = owner._planner, owner._zone, owner._usual
        self._parser, self._parsed_planner = owner._parser, owner._parsed_planner
        self._batch, self._dropped, self._noted = batch, batch.counts.dropped, batch.counts.noted
        self._read_at, self._read_at_ns = read_at(batch.read_at_ns), batch.read_at_ns
        self._alone: list[tuple[int, dict[str, bytes]]] = []
        self._parsed: tuple[list[Record], list[int]] = ([], [])

    def read(self, start: int, lines: list[bytes], *, blocks: bool) -> None:
        """Read some of the batch's lines, the first of which has the index ``start``. ``blocks``: some may be several
        lines."""
        lines = self._valid(lines)
        rows: Sequence[int] = range(start, start + len(lines))
        if blocks:
            lines, rows = self._read_blocks(lines, rows)
        if self._usual.keys is not None:
            lines, rows = self._read_usual(self._usual.keys, lines, rows)
        if lines:
            self._read_groups(*self._decode(rows, lines), self._planner, flat=False)
        if self._parsed[0]:
            self._read_groups(*self._parsed, self._parsed_planner, flat=True)
            self._parsed = ([], [])
        self._collect()

    def _read_blocks(self, lines: list[bytes], rows: Sequence[int]) -> tuple[list[bytes], Sequence[int]]:
        """Read the events of several lines; returns the others, and the objects, each on a line by now."""
        left: list[tuple[bytes, int]] = []
        for line, row in zip(lines, rows, strict=True):
            if b"\n" not in line or not line.strip():
                left.append((line, row))
            elif not line.lstrip().startswith(b"{"):
                self._alone.append((row, read_block(line.decode(), self._read_head)))
            elif (whole := compacted(line)) is not None:
                left.append((whole, row))
            else:
                self._note("parse_failed")
                self._alone.append((row, unparsed(line.decode(), self._read_at)))
        return [line for line, _ in left], [row for _, row in left]

    def _read_usual(
        self, keys: tuple[str, ...], lines: list[bytes], rows: Sequence[int]
    ) -> tuple[list[bytes], Sequence[int]]:
        """Read the lines that have the usual keys; returns the others."""
        records, refused = self._usual.decode(lines)
        if refused:
            fits = [True] * len(lines)
            for at in refused:
                fits[at] = False
            fitting = list(compress(rows, fits))
        else:
            fitting = rows  # type: ignore[assignment]
        read, misfits = read_columns(records, values_of, keys, self._planner, self._read_at) if records else (None, [])
        self._add(read, fitting)
        for index in misfits:
            self._read_alone(fitting[index], as_dict(records[index], keys), self._planner, flat=True)
        return [lines[at] for at in refused], [rows[at] for at in refused]

    def _add(self, read: Rows | None, rows: Sequence[int]) -> None:
        if read:
            whole = len(read.indexes) == len(rows)
            self.tables.add(read.places, read.columns, rows if whole else [rows[i] for i in read.indexes])

    def _note(self, mark: str) -> None:
        self._noted[mark] = self._noted.get(mark, 0) + 1

    def _valid(self, lines: list[bytes]) -> list[bytes]:
        """The lines as UTF-8."""
        joined = b"\n".join(lines)
        if joined.isascii():
            return lines
        try:
            joined.decode()
        except UnicodeDecodeError:
            return [self._mend(line) for line in lines]
        return lines

    def _mend(self, line: bytes) -> bytes:
        mended = line.decode(errors="replace").encode()
        if mended != line:
            self._note("invalid_utf8")
        return mended

    def _decode(self, rows: Sequence[int], lines: list[bytes]) -> tuple[list[Record], Sequence[int]]:
        """The lines that are objects, and their rows; what the others come to is put aside."""
        records: list[Record] = []
        refused: list[tuple[int, str]] = []
        remaining = iter(lines)
        while True:
            try:
                # On an error the records before it stay in the list, so its length says which line it was.
                records.extend(map(decode, remaining))
                break
            except (msgspec.DecodeError, RecursionError) as error:
                refused.append((len(records), reason(error)))
                records.append({})
        if not refused:
            return records, rows
        gone = {at for at, why in refused if not self._read_refused(rows[at], lines[at], why, records, at)}
        kept = [at for at in range(len(records)) if at not in gone]
        return [records[at] for at in kept], [rows[at] for at in kept]

    def _read_refused(self, row: int, line: bytes, why: str, records: list[Record], at: int) -> bool:
        """Read a line the strict decoder refused. True if it is an object after all, and now in ``records``."""
        if not line.strip():
            self._dropped["empty"] = self._dropped.get("empty", 0) + 1
            return False
        text = line.decode()
        plain = text.lstrip(MARKS)
        if not plain.startswith("{"):
            if not self._refuse(row, line, why):
                self._read_text(row, text)
            return False
        try:
            members, not_finite = walk(plain)
        except (ValueError, RecursionError):
            if not self._refuse(row, line, why) and not self._parse(row, text):
                self._note("parse_failed")
                self._alone.append((row, unparsed(text, self._read_at)))
            return False
        if not_finite:
            self._note("not_json_nan")
        records[at] = members
        return True

    def _refuse(self, row: int, line: bytes, why: str) -> bool:
        """Leave a line out that is no object, if the batch wants only those."""
        batch = self._batch
        if batch.refused is None:
            return False
        batch.refused.append((row, why))
        batch.counts.accepted -= 1
        if line != batch.lines[row]:
            self._noted["invalid_utf8"] -= 1  # only what is kept is noted
        return True

    def _read_text(self, row: int, text: str) -> None:
        """Read a line that is no object."""
        if not self._parse(row, text):
            self._alone.append((row, self._read_unfitting(text)))

    def _read_head(self, text: str) -> dict[str, bytes]:
        """The places the first line of a block fills."""
        record = self._take_apart(text)
        if record is None:
            return self._read_unfitting(text)
        return read_record(record, self._parsed_planner.rules, self._read_at)

    def _read_unfitting(self, text: str) -> dict[str, bytes]:
        """The places of a line the parser, if there is one, does not fit."""
        places = read_line(text, self._zone, self._read_at)
        if self._parser and self._parser.marks:
            self._note("parse_failed")
            places["labels.parse"] = FAILED
        return places

    def _parse(self, row: int, text: str) -> bool:
        """Take a line apart as the input's settings say. False if there are none, or it does not fit."""
        record = self._take_apart(text)
        if record is None:
            return False
        self._parsed[0].append(record)
        self._parsed[1].append(row)
        return True

    def _take_apart(self, text: str) -> Record | None:
        return self._parser(text.lstrip(NO_TEXT), self._read_at_ns) if self._parser else None

    def _read_groups(self, records: list[Record], rows: Sequence[int], planner: Planner, flat: bool) -> None:
        """Read records, together where they have the same keys. ``flat``: they were laid flat already."""
        for keys, group, at in _same_keys(records, rows):
            if len(group) < MIN_ROWS or len(keys) > MAX_KEYS:
                for row, record in zip(at, group, strict=True):
                    self._read_alone(row, record, planner, flat)
            elif not flat and planner.plan(keys).shaped:
                self._read_groups([_flat(record) for record in group], at, planner, flat=True)
            else:
                read, misfits = read_columns(group, dict.values, keys, planner, self._read_at)
                self._add(read, at)
                if not flat and read and len(group) > USUAL_ROWS:
                    self._usual.saw(keys)
                for index in misfits:
                    self._read_alone(at[index], group[index], planner, flat=True)

    def _read_alone(self, row: int, record: Record, planner: Planner, flat: bool) -> None:
        if not flat and has_shape(tuple(record)):
            record = _flat(record)
        self._alone.append((row, read_record(record, planner.rules, self._read_at)))

    def _collect(self) -> None:
        """Put the records that were read alone into tables."""
        self._alone.sort(key=_row)
        for places, group, rows in _same_keys([places for _, places in self._alone], [row for row, _ in self._alone]):
            self.tables.add(places, zip(*map(dict.values, group), strict=True), rows)
        self._alone = []


V = TypeVar("V")


def _row(read: tuple[int, dict[str, bytes]]) -> int:
    return read[0]


def _flat(record: Record) -> Record:
    try:
        return reshape(record)
    except RecursionError:
        return record


def _same_keys(
    records: list[dict[str, V]], rows: Sequence[int]
) -> Iterator[tuple[tuple[str, ...], list[dict[str, V]], Sequence[int]]]:
    """Groups of records with the same keys in the same order, and their rows."""
    if not records:
        return
    keys: list[tuple[str, ...]] = list(map(tuple, records))
    usual = keys[0]
    same = list(map(eq, keys, repeat(usual)))
    if all(same):
        yield usual, records, rows
        return
    yield usual, list(compress(records, same)), list(compress(rows, same))
    others: dict[tuple[str, ...], tuple[list[dict[str, V]], list[int]]] = {}
    for at in compress(range(len(keys)), map(not_, same)):
        group = others.setdefault(keys[at], ([], []))
        group[0].append(records[at])
        group[1].append(rows[at])
    for key, (members, places) in others.items():
        yield key, members, places


def normalise(batch: Batch, settings: NormaliseSettings) -> Batch:
    """Normalise one batch with settings of its own. For many batches keep a ``Normaliser``."""
    return Normaliser(settings)(batch)
