"""Enrich: what is the same for all records of a batch, or known to the input rather than to the record.

A constant never overwrites what a record said of itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Final, TypeVar

import msgspec

from agent.processors.normalise.times import read_at
from agent.record import Batch, Table
from agent.values import Column, quote

ECS_VERSION: Final = "9.2.0"
_TIME: Final = "@timestamp"
_READ_MARK: Final = "labels.timestamp"
_MODEL: Final = "ml.model.name"
_OF_MODEL: Final = "ml.model."
_MODELS_OF_CALLS: Final = ("gen_ai.request.model", "gen_ai.response.model")
Key = TypeVar("Key")
_FIXED: Final = {"ecs.version": quote(ECS_VERSION), "data_stream.type": quote("logs")}


def enrich(batch: Batch, identity: Mapping[str, bytes]) -> Batch:
    """Add to every table of a batch who wrote it, where it was read and when; returns the batch.

    ``identity`` are places and their JSON text: the model, the service, the host (``agent.model.identity``,
    ``agent.host.host``). What the input knows (``batch.constants``, ``batch.columns``, ``batch.sparse``) comes after
    it, and what a record holds comes first.
    """
    if batch.sparse:
        batch.tables = [part for table in batch.tables for part in _with_sparse(table, batch.sparse)]
    common = {**identity, **_FIXED, **batch.constants, "event.created": read_at(batch.read_at_ns)}
    batch.tables = [part for table in batch.tables for part in _by_model(table, common.get(_MODEL))]
    for table in batch.tables:
        _add_columns(table, batch.columns)
        dataset = quote(table.dataset)
        constants = {
            **common,
            "event.dataset": dataset,
            "data_stream.dataset": dataset,
            "data_stream.namespace": quote(table.namespace),
            **table.constants,
        }
        if _MODEL in table.places:
            if bytes(table.columns[table.places.index(_MODEL)][0]) != common.get(_MODEL):
                # What is known of our model, its version above all, is not so of another.
                constants = {place: text for place, text in constants.items() if not place.startswith(_OF_MODEL)}
        elif _MODEL not in constants:
            # The model of an LLM call names the model only where nobody else does.
            for place in _MODELS_OF_CALLS:
                if place in table.places:
                    _add_columns(table, {_MODEL: table.columns[table.places.index(place)]}, aligned=True)
        for place in table.places:
            constants.pop(place, None)
        table.constants = constants
    return batch


def _add_columns(table: Table, columns: Mapping[str, Column], aligned: bool = False) -> None:
    """Add columns the records do not have themselves. ``aligned``: they are of the table's rows, not of the batch's
    lines."""
    added = {
        place: column if aligned else _at(column, table.rows)
        for place, column in columns.items()
        if place not in table.places
    }
    table.places += tuple(added)
    table.columns = [*table.columns, *added.values()]


def _with_sparse(table: Table, columns: Mapping[str, Column]) -> Iterator[Table]:
    """The table with what the transport says, in as many tables as there are sets of places it says something of."""
    was_read = _READ_MARK in table.places
    said = {
        place: _at(column, table.rows)
        for place, column in columns.items()
        if place not in table.places or (place == _TIME and was_read)
    }
    if not said:
        yield table
        return
    filled = list(zip(*(map(bool, column) for column in said.values()), strict=True))
    for which, chosen, part in _apart(table, filled):
        _fill(part, {p: list(compress(c, chosen)) for (p, c), full in zip(said.items(), which, strict=True) if full})
        yield part


def _by_model(table: Table, ours: bytes | None) -> Iterator[Table]:
    """The table, or its records of our own model and those of others apart."""
    if _MODEL not in table.places:
        yield table
        return
    is_ours = [bytes(name) == ours for name in table.columns[table.places.index(_MODEL)]]
    for _, _, part in _apart(table, is_ours):
        yield part


def _apart(table: Table, keys: Sequence[Key]) -> Iterator[tuple[Key, list[bool], Table]]:
    """The rows of a table by their keys: each key, which rows have it, and a table of those. The table itself where
    all have the same."""
    distinct = dict.fromkeys(keys)
    for key in distinct:
        chosen = [row == key for row in keys]
        if len(distinct) == 1:
            yield key, chosen, table
            return
        columns: list[Column] = [list(compress(column, chosen)) for column in table.columns]
        rows = list(compress(table.rows, chosen))
        yield key, chosen, msgspec.structs.replace(table, columns=columns, rows=rows, constants=table.constants.copy())


def _fill(table: Table, columns: Mapping[str, Column]) -> None:
    """Add full columns of the table's rows. A time among them takes the place of the time of reading."""
    if _TIME in columns and _READ_MARK in table.places:
        kept = [place not in (_TIME, _READ_MARK) for place in table.places]
        table.places = tuple(compress(table.places, kept))
        table.columns = list(compress(table.columns, kept))
    _add_columns(table, columns, aligned=True)


def _at(column: Column, rows: Sequence[int]) -> Column:
    """The values of certain rows, which are ascending."""
    return column if len(rows) == len(column) else list(map(column.__getitem__, rows))
