"""Entries of the journal to batches."""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

from agent.inputs.journald.entry import Entry, cursor_in, read_entry
from agent.inputs.journald.state import SOURCE, encode_position
from agent.inputs.line_batch import TRUNCATED, LineFilter, label_constants
from agent.inputs.lines import Cut, shortened
from agent.inputs.options import LineOptions
from agent.log import Log
from agent.record import Batch, Counts, Origin

MAX_PLACES: Final = 256
"""Places one batch knows of, so that writers that invent a field for every entry cost no more than others."""
_ROOM_FOR_FIELDS: Final = 256 * 1024
_WORST_ESCAPE: Final = 4
"""A byte of a binary message is up to four characters in an array."""

_log = Log("inputs.journald")


def max_entry(max_line: int) -> int:
    """How long an entry's JSON may be."""
    return max_line * _WORST_ESCAPE + _ROOM_FOR_FIELDS


class EntryBatches:
    """Makes batches of the lines journalctl writes. ``cursor`` is that of the last entry that was met."""

    def __init__(self, config: LineOptions, cursor: str | None) -> None:
        self._id = config.id
        self._max_line = config.max_line
        self._filter = LineFilter(config.include_lines, config.exclude_lines)
        self._constants = label_constants(config.labels)
        self.cursor = cursor

    def make(self, entries: Cut, read_at_ns: int) -> Iterator[Batch]:
        """The entries as batches, each with the position behind it."""
        if entries.truncated:
            yield self._too_long(entries.lines[0], read_at_ns)
            return
        group: list[Entry] = []
        known: set[str] = set()
        for line in entries.lines:
            try:
                entry = read_entry(line)
            except ValueError as error:
                _log.error("journalctl wrote what is no entry; it is left out", input=self._id, reason=error)
                if group:
                    yield self._batch(group, read_at_ns)
                yield self._without_record("unreadable", read_at_ns)
                group, known = [], set()
                continue
            if group and len(known | entry.places.keys()) > MAX_PLACES:
                yield self._batch(group, read_at_ns)
                group, known = [], set()
            group.append(entry)
            known |= entry.places.keys()
        if group:
            yield self._batch(group, read_at_ns)

    def _batch(self, entries: Sequence[Entry], read_at_ns: int) -> Batch:
        self.cursor = entries[-1].cursor
        counts = Counts(accepted=len(entries), bytes=sum(entry.size for entry in entries))
        kept = self._filter.wanted([entry.line for entry in entries])
        if kept is not None:
            counts.dropped = {"excluded": kept.count(False)}
            entries = list(compress(entries, kept))
        lines = [entry.line for entry in entries]
        said = dict.fromkeys(place for entry in entries for place in entry.places)
        sparse = {place: [entry.places.get(place, b"") for entry in entries] for place in said}
        longer = [at for at, line in enumerate(lines) if len(line) > self._max_line]
        if longer:
            counts.noted = {"truncated": len(longer)}
            sparse |= {place: [b""] * len(lines) for place in TRUNCATED}
        for at in longer:
            lines[at] = shortened(lines[at], self._max_line)
            for place, value in TRUNCATED.items():
                sparse[place][at] = value
        blocks = any(b"\n" in line for line in lines)
        return self._made(lines, counts, read_at_ns, sparse, blocks=blocks)

    def _too_long(self, part: bytes, read_at_ns: int) -> Batch:
        _log.error(
            "An entry of the journal is too long to be read; it is left out",
            input=self._id,
            max_bytes=max_entry(self._max_line),
        )
        # journalctl writes fields in any order: without the cursor this entry is met again after a restart.
        self.cursor = cursor_in(part) or self.cursor
        return self._without_record("too_long", read_at_ns)

    def _without_record(self, reason: str, read_at_ns: int) -> Batch:
        return self._made([], Counts(accepted=1, dropped={reason: 1}), read_at_ns, {}, blocks=False)

    def _made(
        self, lines: list[bytes], counts: Counts, read_at_ns: int, sparse: dict[str, list[bytes]], *, blocks: bool
    ) -> Batch:
        origin = None if self.cursor is None else Origin(self._id, SOURCE, encode_position(self.cursor))
        return Batch(
            self._id, origin, read_at_ns, lines, {}, self._constants.copy(), counts, sparse=sparse, blocks=blocks
        )
