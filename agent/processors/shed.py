"""Shed: when the queue fills up, records of low levels go first, counted by level. Pure."""

from itertools import compress

from agent.processors.normalise.levels import SEVERITY, Level
from agent.record import Batch
from agent.values import quote

_LEVEL = "log.level"


def shed(batch: Batch, below: Level) -> Batch:
    """Drop the batch's records whose level is lower than ``below``; returns the batch. Records without a level stay.

    Counts ``dropped``: ``shed.<level>``.
    """
    gone = {quote(level): f"shed.{level}" for level, severity in SEVERITY.items() if severity < SEVERITY[below]}
    dropped = batch.counts.dropped
    for table in batch.tables:
        if _LEVEL not in table.places:
            continue
        reasons = [gone.get(bytes(level)) for level in table.columns[table.places.index(_LEVEL)]]
        kept = [reason is None for reason in reasons]
        for reason in filter(None, reasons):
            dropped[reason] = dropped.get(reason, 0) + 1
        if not all(kept):
            table.columns = [list(compress(column, kept)) for column in table.columns]
            table.rows = list(compress(table.rows, kept))
    return batch
