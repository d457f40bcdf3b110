"""What was dropped for want of room and is not yet counted on disk: one entry a source, without records, however many
batches they were."""

from collections.abc import Mapping

from agent.queue.group import Entry
from agent.queue.housekeeping import QUEUE_FULL
from agent.record import Counts


class Late:
    """Counts and positions that go with the next write. They are one entry, so a crash takes both or neither."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._taken: dict[tuple[str, str], Entry] = {}
        self._with_taken: dict[str, Counts] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def drop(self, entry: Entry) -> None:
        """Count the entry's records as dropped; its position moves all the same."""
        counts = _sum(Counts(), entry.counts)
        counts.dropped[QUEUE_FULL] = counts.dropped.get(QUEUE_FULL, 0) + entry.counts.kept
        self._put(Entry(entry.input, [], entry.origin, counts))

    def take(self, counts: Mapping[str, Counts]) -> list[Entry]:
        """The entries, to be written before anything newer; ``counts`` are those on disk. Followed by ``written`` or
        ``not_written``."""
        if not self._entries:
            return []
        self._with_taken = {name: total for name, total in self.added_to(counts).items() if total != counts.get(name)}
        self._taken, self._entries = self._entries, {}
        return list(self._taken.values())

    def written(self) -> None:
        """What was taken is on disk."""
        self._taken, self._with_taken = {}, {}

    def not_written(self) -> None:
        """What was taken is not on disk."""
        newer, self._entries = self._entries, self._taken
        self.written()
        for entry in newer.values():
            self._put(entry)

    def added_to(self, counts: Mapping[str, Counts]) -> dict[str, Counts]:
        """The counts on disk and these together. Never less than a moment ago, also while a write is under way."""
        total = dict(counts)
        for name, known in self._with_taken.items():
            if name not in total or total[name].accepted < known.accepted:
                total[name] = known
        for entry in self._entries.values():
            total[entry.input] = _sum(total.get(entry.input, Counts()), entry.counts)
        return total

    def _put(self, entry: Entry) -> None:
        key = (entry.input, entry.origin.source if entry.origin is not None else "")
        earlier = self._entries.get(key)
        if earlier is None:
            self._entries[key] = entry
        else:
            earlier.counts.add(entry.counts)
            earlier.origin = entry.origin


def _sum(one: Counts, other: Counts) -> Counts:
    both = Counts(one.accepted, one.bytes, dict(one.dropped), dict(one.noted))
    both.add(other)
    return both
