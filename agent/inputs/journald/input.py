"""The ``journald`` input: journalctl reads the journal, its cursor is our position.

The journal is read to its end first, then followed; asked to stop, it is read to its end once more. journalctl begins
with the entry that was read last, which says whether that one is still there.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.journald.batches import EntryBatches, max_entry
from agent.inputs.journald.child import Child, command, last_entry, running
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.journald.entry import cursor_in, read_entry
from agent.inputs.journald.state import SOURCE, decode_position, encode_position, same_entry
from agent.inputs.line_assembler import LineAssembler
from agent.inputs.lines import Cut
from agent.log import Log
from agent.record import Batch, Counts, Origin

RETRY_SECS = 1.0
MAX_RETRY_SECS = 60.0
_BUSY_BYTES = 64 * 1024
"""A read this large means that there is a backlog: then nothing is waited for."""
_BAD_CURSOR = "Failed to seek to cursor"

_log = Log("inputs.journald")


class JournaldInput:
    """Reads the journal. ``positions`` is what the queue last knew (``Origin.state``)."""

    def __init__(
        self,
        config: JournaldConfig,
        positions: Mapping[str, bytes],
        *,
        retry_secs: float = RETRY_SECS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = config.id
        self._config = config
        self._state = positions.get(SOURCE)
        self._retry_secs = retry_secs
        self._monotonic = monotonic
        self._at_end = False
        self._read_at: float | None = None

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle when the journal was read to its end, held something, and nothing has come for ``quiet_secs``. Who may
        still write cannot be seen."""
        if not self._at_end:
            return "busy"
        if self._read_at is None:
            return "unseen"
        return "idle" if self._monotonic() - self._read_at >= quiet_secs else "busy"

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Read until asked to stop, then to the journal's end. Cancelling leaves at once; what was not emitted is read
        again.

        Raises:
            ConfigError: journalctl cannot be run.
        """
        batches = EntryBatches(self._config, self._stored_cursor())
        if batches.cursor is not None:
            self._read_at = self._monotonic()
        # A position that cannot be read is no reason to leave out what came since.
        skip = self._state is None and self._config.start == "tail"
        follow = said = False
        retry_secs = self._retry_secs
        while True:
            last = stop.asked
            before = batches.cursor
            if skip:
                trouble = await self._skip(batches, emit)
                skip = trouble is not None
            else:
                trouble = await self._read(batches, emit, stop, follow=follow and not last)
                follow = trouble is None
            if trouble is None or batches.cursor != before:
                said, retry_secs = False, self._retry_secs
            if trouble is not None:
                self._at_end = False
                if not said:
                    _log.warning(
                        "journalctl ended; it is started again behind the last entry that was read",
                        input=self.id,
                        reason=trouble,
                    )
                said = True
                if _BAD_CURSOR in trouble:
                    _log.error(
                        "The position in the journal cannot be used; the journal is read from its oldest entry",
                        input=self.id,
                        position=batches.cursor,
                    )
                    batches.cursor = None
            if last:
                return
            if trouble is not None:
                await stop.wait(retry_secs)
                retry_secs = min(retry_secs * 2, MAX_RETRY_SECS)

    def _stored_cursor(self) -> str | None:
        if not self._state:
            return None
        try:
            return decode_position(self._state)
        except ValueError as error:
            _log.error("The position in the journal cannot be read; it is begun anew", input=self.id, reason=error)
            return None

    async def _skip(self, batches: EntryBatches, emit: Emit) -> str | None:
        """Take the position behind the newest entry: whatever comes later is read, also after a restart. Returns what
        went wrong."""
        lines = LineAssembler(max_entry(self._config.max_line))
        async with running(last_entry(self._config), f"inputs.{self.id}") as child:
            while data := await child.read():
                for line in [line for cut in lines.feed(data) for line in cut.lines]:
                    batches.cursor = cursor_in(line) or batches.cursor
            status, said = await child.ended()
        if batches.cursor is not None:
            origin = Origin(self.id, SOURCE, encode_position(batches.cursor))
            await emit(Batch(self.id, origin, time.time_ns(), [], {}, {}, Counts()))
        return None if status == 0 else _told(status, said)

    async def _read(self, batches: EntryBatches, emit: Emit, stop: Stop, *, follow: bool) -> str | None:
        """Run journalctl to its end: the journal's, or, if it follows, ours. Returns what went wrong."""
        lines = LineAssembler(max_entry(self._config.max_line))
        arguments = command(self._config, batches.cursor, follow=follow)
        expected = batches.cursor
        async with running(arguments, f"inputs.{self.id}") as child, asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(_end_when_asked(child, stop)) if follow else None
            self._at_end = follow
            while data := await child.read():
                read_at_ns = time.time_ns()
                self._at_end = False
                for cut in lines.feed(data):
                    if expected is not None:
                        cut = self._behind(expected, cut)
                        expected = None
                    for batch in batches.make(cut, read_at_ns):
                        await emit(batch)
                        self._read_at = self._monotonic()
                if follow and len(data) < _BUSY_BYTES:
                    await stop.wait(self._config.linger)
                else:
                    await asyncio.sleep(0)  # others' turn
                self._at_end = follow
            status, said = await child.ended()
            if ending is not None:
                ending.cancel()
        if (follow and stop.asked) or (status == 0 and not follow):
            return None
        return _told(status, said)

    def _behind(self, expected: str, cut: Cut) -> Cut:
        """The entries without the one that was read before."""
        try:
            found = not cut.truncated and same_entry(read_entry(cut.lines[0]).cursor, expected)
        except ValueError:
            found = False
        if found:
            return Cut(cut.lines[1:], cut.starts[1:], cut.begin, cut.end, cut.at)
        _log.warning(
            "The entry that was read last is not in the journal any more; the next one that is there follows",
            input=self.id,
        )
        return cut


def _told(status: int, said: str) -> str:
    return f"exit status {status}: {said or 'it gave no reason'}"


async def _end_when_asked(child: Child, stop: Stop) -> None:
    await stop.wait()
    child.end()
