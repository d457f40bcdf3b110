"""Between the sockets of an input and the queue: a bounded buffer, and one task that makes batches of it.

Sockets ``add`` what they read without waiting and stop reading while the buffer is ``full``; what happens then is the
protocol's: a stream's sender waits, a datagram's kernel drops. One batch at a time waits for the queue.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import compress
from typing import NamedTuple

from agent.inputs.contract import Activity, Emit
from agent.inputs.line_batch import LineFilter, label_constants
from agent.inputs.lines import MAX_BATCH_BYTES
from agent.inputs.messages import NOTHING, Facts, Lines, MessageReader
from agent.inputs.socket_options import Format, SocketOptions
from agent.processors.normalise.times import zone_of
from agent.record import MAX_BATCH_RECORDS, Batch, Counts

USUAL_RECORDS = 1024
"""Records of a batch, about: with more, its documents would no longer lie in the processor's cache."""
HURRY_BYTES = 64 * 1024
"""With this much at hand nothing is waited for."""
NONE: Mapping[str, int] = {}


class Piece(NamedTuple):
    """Whole messages that came together. ``size``: the bytes they took on the wire; ``facts``: what is known of all of
    them; ``dropped`` and ``noted``: counts beside what the messages come to."""

    messages: list[bytes]
    size: int
    facts: Facts = NOTHING
    dropped: Mapping[str, int] = NONE
    noted: Mapping[str, int] = NONE


class Intake:
    """What has been read and is not yet in the queue, at most about ``buffer`` bytes.

    ``resumed`` is called when there is room again. ``lost`` is asked at every batch what was lost on the way since it
    was last asked, by reason.
    """

    def __init__(self, options: SocketOptions, format: Format) -> None:
        self._options = options
        self._reader = MessageReader(format, zone_of(options.timezone), options.max_line)
        self._filter = LineFilter(options.include_lines, options.exclude_lines)
        self._labels = label_constants(options.labels)
        self._pieces: deque[Piece] = deque()
        self._held = 0
        self._woken = asyncio.Event()
        self._closed = False
        self._busy = False
        self._came_at: float | None = None
        self.resumed: Callable[[], None] = _nothing
        self.lost: Callable[[], dict[str, int]] = dict

    @property
    def full(self) -> bool:
        """Whether reading should wait."""
        return self._held >= self._options.buffer

    def add(self, piece: Piece) -> None:
        """Take a piece. It is taken also when there is no room: look at ``full`` before reading."""
        self._pieces.append(piece)
        # What an object costs beside its bytes is more than the bytes of a short line.
        self._held += piece.size + 64 * len(piece.messages)
        self._woken.set()

    def close(self) -> None:
        """Nothing more will be added: ``run`` returns when everything is in the queue."""
        self._closed = True
        self._woken.set()

    def activity(self, quiet_secs: float, writers: int) -> Activity:
        """See ``Input.activity``; ``writers`` are connections that could still bring something."""
        if self._came_at is None and not self._pieces:
            return "unseen"
        quiet = self._came_at is not None and time.monotonic() - self._came_at >= quiet_secs
        return "idle" if quiet and not (writers or self._pieces or self._busy) else "busy"

    async def run(self, emit: Emit) -> None:
        """Emit what comes until closed."""
        while True:
            await self._woken.wait()
            if not self._closed and self._held < HURRY_BYTES:
                await self._gather()
            self._woken.clear()
            self._busy = True
            while self._pieces:
                self._came_at = time.monotonic()
                await self._emit_some(emit)
            await self._emit_some(emit)
            self._busy = False
            if self._closed and not self._pieces:
                return

    async def _gather(self) -> None:
        """Let messages come for a while, so that they travel together."""
        end = time.monotonic() + self._options.linger
        while (left := end - time.monotonic()) > 0 and not self._closed and self._held < HURRY_BYTES:
            self._woken.clear()
            try:
                async with asyncio.timeout(left):
                    await self._woken.wait()
            except TimeoutError:
                return

    async def _emit_some(self, emit: Emit) -> None:
        """Emit about one batch's worth, and what was lost meanwhile."""
        read, size, now_ns = Lines(), 0, time.time_ns()
        taken = 0
        while self._pieces and size < MAX_BATCH_BYTES and len(read.lines) < USUAL_RECORDS:
            piece = self._pieces.popleft()
            size += piece.size
            taken += piece.size + 64 * len(piece.messages)
            self._reader.read(piece.messages, piece.facts, now_ns, read)
            for reason, count in piece.dropped.items():
                read.drop(reason, count)
            for mark, count in piece.noted.items():
                read.note(mark, count)
        for reason, count in self.lost().items():
            read.drop(reason, count)
        for batch in self._batches(read, size, now_ns):
            await emit(batch)
        # Only now: what waits for the queue takes room as well.
        self._held -= taken
        if not self.full:
            self.resumed()

    def _batches(self, read: Lines, size: int, now_ns: int) -> Iterator[Batch]:
        lines, facts = read.lines, read.facts
        if (wanted := self._filter.wanted(lines)) is not None:
            read.drop("excluded", wanted.count(False))
            lines, facts = list(compress(lines, wanted)), list(compress(facts, wanted))
        spans = list(_spans(lines))
        if not spans and (size or read.dropped):
            spans = [(0, 0)]
        for first, last in spans:
            counts = Counts(last - first)
            if first == 0:
                # What was dropped is counted with the first: the others go to the queue right behind it.
                counts = Counts(last + sum(read.dropped.values()), size, read.dropped, read.noted)
            yield self._batch(lines[first:last], facts[first:last], counts, now_ns)

    def _batch(self, lines: list[bytes], facts: list[Facts], counts: Counts, now_ns: int) -> Batch:
        batch = Batch(self._options.id, None, now_ns, lines, {}, self._labels.copy(), counts)
        if any(facts):
            places = dict.fromkeys(place for known in facts for place in known)
            batch.sparse = {place: [known.get(place, b"") for known in facts] for place in places}
        batch.blocks = b"\n" in b"".join(lines)
        return batch


def _spans(lines: list[bytes]) -> Iterator[tuple[int, int]]:
    """Batches within the limits, as first and last + 1; a longer line is one of its own."""
    first = size = 0
    for at, line in enumerate(lines):
        if at > first and (at - first == MAX_BATCH_RECORDS or size + len(line) > MAX_BATCH_BYTES):
            yield first, at
            first, size = at, 0
        size += len(line)
    if first < len(lines):
        yield first, len(lines)


def _nothing() -> None:
    return
