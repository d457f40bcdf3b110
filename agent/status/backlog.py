"""How much an output has before it, in bytes and in time. Segments say when they were begun; frames do not."""

from collections import deque
from collections.abc import Sequence

import msgspec

from agent.queue.cursor import Cursor
from agent.queue.wal import Segment

MOMENTS = 256


class Backlog(msgspec.Struct, frozen=True):
    """``bytes`` on disk that the output has still to read, the segment it is in counted by its share of records.
    ``oldest_secs`` is at most so much less than the age of its oldest record as the record is younger than the last
    moment noted before it; 0 when there is none."""

    bytes: int = 0
    oldest_secs: float = 0.0


class Moments:
    """The queue's total at moments that were looked at: what an output is through with was put there before them. A
    few hundred are kept, which is enough for a record of today; an older one is as old as its segment."""

    def __init__(self) -> None:
        self._noted: deque[tuple[int, int]] = deque(maxlen=MOMENTS)

    def note(self, now_ms: int, total: int) -> None:
        """This is the total now."""
        self._noted.append((now_ms, total))

    def before(self, total: int) -> int:
        """The last moment at which no more than ``total`` records had been put into the queue; 0 when none is
        known."""
        return max((at_ms for at_ms, then in self._noted if then <= total), default=0)


def backlog(segments: Sequence[Segment], cursor: Cursor, total: int, moments: Moments, now_ms: int) -> Backlog:
    """What ``cursor`` has before it, ``total`` records having been put into the queue."""
    if cursor.behind(total) <= 0:
        return Backlog()
    size, made_at_ms = 0.0, 0
    for segment in segments:
        records = segment.end_total - segment.begin_total
        left = segment.end_total - max(cursor.low_total, segment.begin_total)
        if segment.last > cursor.low and left > 0:
            size += segment.size * left / records
            made_at_ms = made_at_ms or segment.made_at_ms
    since_ms = max(made_at_ms, moments.before(cursor.low_total))
    return Backlog(round(size), max(0.0, (now_ms - since_ms) / 1000) if since_ms else 0.0)
