"""Render: the rows of a batch's tables as lines of JSON, in the form the queue keeps (``agent.form``).

Each record becomes a document, whose ``event.id`` is its id, and what the form has beside it. A document is constant
pieces joined with the record's values, so no value is read, and none can become anything but a value: values hold no
newline, and stand only where a value may stand.

The pieces are worked out once for records that fill the same places (``_layout``) and with a batch's constants folded
in once per table; what is left per record is one slot in one ``join``.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from agent.form import Form, around_id
from agent.record import MAX_BATCH_RECORDS, Batch, Documents, Table, stream_name
from agent.values import Column, Value, quote

MAX_CACHED_PLACES: Final = 128
_FLAT: Final = ("fields", "labels")
_FIRST: Final = ("@timestamp", "message", "log", "error", "ml", "gen_ai", "event")
_ID: Final = "event.id"
_TIME: Final = "@timestamp"

_hour: Final = re.compile(rb'\n"(\d{4}-\d\d-\d\dT\d\d):').match
_HEX: Final = [b"%x" % index for index in range(MAX_BATCH_RECORDS)]

Tree = dict[str, "Tree | str"]


def render(
    batch: Batch, run: str, batch_number: int, max_bytes: int = 4 * 1024**2, form: Form = Form.BULK
) -> list[Documents]:
    """The documents of a batch, by data stream, in the order of its lines.

    Ids are ``record_id(run, batch_number, index)``; the index runs over the whole batch without gaps, one data stream
    after the other. No ``Documents`` is larger than ``max_bytes`` unless a single record is.
    """
    streams: dict[str, list[Table]] = {}
    for table in batch.tables:
        if len(table.rows):
            streams.setdefault(stream_name(table.dataset, table.namespace), []).append(table)
    made: list[Documents] = []
    first = 0
    prefix = f"{run}-{batch_number:x}-".encode()
    for stream, tables in streams.items():
        count = sum(len(table.rows) for table in tables)
        lines = (
            _render_one(tables[0], prefix, form, range(first, first + count))
            if len(tables) == 1
            else _render_many(tables, prefix, form, first)
        )
        hour = _common_hour(tables) if form is Form.NDJSON else ""
        made += _split(Documents(stream, batch_number, first, count, lines, form, hour), max_bytes)
        first += count
    return made


def _common_hour(tables: Sequence[Table]) -> str:
    """The hour, as ``2026-11-22T10``, that every record's time begins with and is in UTC; empty if there is none."""
    hours = set()
    for table in tables:
        constant = [table.constants.get(_TIME, b"")]
        column = table.columns[table.places.index(_TIME)] if _TIME in table.places else constant
        times = b"\n%b\n" % b"\n".join(column)  # values hold no newline, so what is counted are their ends
        found = _hour(times)
        if found is None or not times.count(found[0]) == times.count(b'Z"\n') == len(column):
            return ""
        hours.add(found[1])
    return hours.pop().decode() if len(hours) == 1 else ""


def _render_one(table: Table, prefix: bytes, form: Form, indexes: range) -> bytes:
    """The lines of every row of a table; ``indexes`` end their ids."""
    return b"".join(_parts(table, prefix, form, _HEX[indexes.start : indexes.stop])[0])


def _parts(table: Table, prefix: bytes, form: Form, ids: Column) -> tuple[list[Value], int]:
    """What the lines of every row of a table consist of, and how many parts that is per row. ``ids`` end the rows'
    ids."""
    pieces, places = _fold(table, prefix, form)
    stride = 2 * len(places) + 1
    parts: list[Value] = [b""] * stride
    parts[::2] = pieces
    parts *= len(ids)
    columns: dict[str, Column] = dict(zip(table.places, table.columns, strict=True))
    columns[_ID] = ids
    for slot, place in enumerate(places):
        parts[2 * slot + 1 :: stride] = columns[place]
    return parts, stride


def _render_many(tables: Sequence[Table], prefix: bytes, form: Form, first: int) -> bytes:
    """The same for several tables whose rows lie among one another: the rows of the largest in runs, between those of
    the others."""
    main = max(tables, key=lambda table: len(table.rows))
    others = [table for table in tables if table is not main]
    between = sorted((row, which, at) for which, table in enumerate(others) for at, row in enumerate(table.rows))
    ends = [bisect_left(main.rows, row) for row, _, _ in between]
    main_ids: list[Value] = []
    other_ids: list[list[Value]] = [[] for _ in others]
    begin = 0
    for i, ((_, which, _), end) in enumerate(zip(between, ends, strict=True), first):
        main_ids += _HEX[begin + i : end + i]
        other_ids[which].append(_HEX[end + i])
        begin = end
    main_ids += _HEX[begin + first + len(between) : len(main.rows) + first + len(between)]
    parts, stride = _parts(main, prefix, form, main_ids)
    rendered = [_parts(table, prefix, form, ids) for table, ids in zip(others, other_ids, strict=True)]
    out: list[Value] = []
    begin = 0
    for (_, which, at), end in zip(between, ends, strict=True):
        out += parts[begin * stride : end * stride]
        other, length = rendered[which]
        out += other[at * length : (at + 1) * length]
        begin = end
    out += parts[begin * stride :]
    return b"".join(out)


def _split(documents: Documents, max_bytes: int) -> Iterable[Documents]:
    """The documents in parts of at most ``max_bytes``, cut between records."""
    if len(documents.lines) <= max_bytes:
        yield documents
        return
    begin, _ = around_id(documents.form)
    records = documents.lines[len(begin) : -1].split(b"\n" + begin)
    overhead = len(begin) + 1
    start, size = 0, 0
    for at, record in enumerate([*records, b""]):
        grown = size + overhead + len(record)
        if at == len(records) or (grown > max_bytes and at > start):
            lines = b"%b%b\n" % (begin, (b"\n" + begin).join(records[start:at]))
            part = (documents.first + start, at - start, lines, documents.form, documents.hour)
            yield Documents(documents.stream, documents.batch, *part)
            start, grown = at, overhead + len(record)
        size = grown


def _fold(table: Table, prefix: bytes, form: Form) -> tuple[list[bytes], list[str]]:
    """Constant pieces, and the places whose values go between them."""
    known = (*table.places, *table.constants)
    layout = _cached_layout if len(known) <= MAX_CACHED_PLACES else _layout
    begin, pending = around_id(form)
    pieces, between = ([begin + prefix], [_ID]) if begin else ([], [])
    for text, place in layout(known):
        pending += text
        if place is None:
            continue
        if place == _ID:
            pending += b'"' + prefix
        if place in table.constants:
            pending += table.constants[place]
            continue
        pieces.append(pending)
        between.append(place)
        pending = b'"' if place == _ID else b""
    return [*pieces, pending + b"\n"], between


def _layout(places: tuple[str, ...]) -> list[tuple[bytes, str | None]]:
    """The document with these places, but for its first brace: what stands before each place's value, in order, and
    what stands behind the last."""
    tree: Tree = {}
    for place in (_ID, *places):
        _plant(tree, place)
    slots: list[tuple[bytes, str | None]] = []
    behind = _write(tree, b"", slots, top=True)
    text, first = slots[0]
    return [(text.removeprefix(b"{"), first), *slots[1:], (behind, None)]


_cached_layout: Final = lru_cache(maxsize=512)(_layout)


def _plant(tree: Tree, place: str) -> None:
    root, dot, rest = place.partition(".")
    names = [root, rest] if dot and root in _FLAT else place.split(".")
    *parents, leaf = names
    for parent in parents:
        branch = tree.setdefault(parent, {})
        if isinstance(branch, str):
            raise ValueError(f"two places lie one within the other: {branch} and {place}")
        tree = branch
    if leaf in tree:
        raise ValueError(f"a place is filled twice or lies within another: {place}")
    tree[leaf] = place


def _write(tree: Tree, before: bytes, slots: list[tuple[bytes, str | None]], top: bool = False) -> bytes:
    """Write an object; returns what has to stand behind its last value."""
    before += b"{"
    names: Mapping[str, int] = {name: i for i, name in enumerate(_FIRST)} if top else {}
    for name in sorted(tree, key=lambda name: (names.get(name, len(_FIRST)), name)):
        before += quote(name) + b":"
        branch = tree[name]
        if isinstance(branch, str):
            slots.append((before, branch))
            before = b","
        else:
            before = _write(branch, before, slots) + b","
    return before.removesuffix(b",") + b"}"
