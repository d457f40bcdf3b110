"""Reading the generations of a chain, oldest first, and emitting their lines.

Reads run on threads. While a batch waits in ``emit`` the next block of the same file is read, never more.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from agent.inputs.contract import Emit
from agent.inputs.file.block import Block, Request, Step, read_block
from agent.inputs.file.chain import Chain
from agent.inputs.file.config import FileConfig
from agent.inputs.file.encoding import Encoding
from agent.inputs.file.generation import Generation, open_known
from agent.inputs.file.state import encode_position
from agent.inputs.line_batch import LineBatches, label_constants
from agent.inputs.lines import BLOCK_BYTES, Cut
from agent.log import Log
from agent.record import Origin

SMALL_BYTES = 128 * 1024
"""What a chain reads first. Only ``LARGE_READERS`` at a time read blocks beyond it, which bounds memory whatever the
number of files."""
READERS = 64
LARGE_READERS = 4

_log = Log("inputs.file")


class ChainReader:
    """Reads chains for one run of an input. ``look`` is called when something is found that only a look at the
    folders can explain."""

    def __init__(
        self,
        config: FileConfig,
        encoding: Encoding,
        emit: Emit,
        pool: Executor,
        monotonic: Callable[[], float],
        look: Callable[[], None],
        max_open: int,
    ) -> None:
        self.truncations = 0
        self.consumed_bytes = 0
        self.open_files = 0
        self.due: dict[Chain, float] = {}
        """When a last line without its end will have rested long enough, by chain."""
        self._config = config
        self._encoding = encoding
        self._emit = emit
        self._pool = pool
        self._monotonic = monotonic
        self._look = look
        self._max_open = max_open
        self._slots = asyncio.Semaphore(max(1, min(READERS, max_open // 4)))
        self._large = asyncio.Semaphore(LARGE_READERS)
        self._batches = LineBatches(config.id, config.include_lines, config.exclude_lines)
        self._labels = label_constants(config.labels)

    async def read(self, chain: Chain) -> None:
        """Read all there is in this chain. One call at a time per chain; ``chain.wanted`` set meanwhile asks for
        another round."""
        async with self._slots:
            chain.wanted = True
            while chain.wanted:
                chain.wanted = False
                self.due.pop(chain, None)
                await self._tell(chain)
                older: list[Generation] = []
                for generation in list(chain.generations):
                    if generation.replaced or not await self._read_out(chain, generation, older):
                        break
                    older.append(generation)

    async def _tell(self, chain: Chain) -> None:
        """Tell the queue of positions that no record carries."""
        while chain.notes:
            note = chain.notes.pop(0)
            if isinstance(note, str):
                origin = Origin(self._config.id, note, b"")
            elif note.recorded:
                continue
            else:
                origin = self._origin(note)
                note.recorded = True
            await self._emit(self._batches.make(Cut([], [], 0, 0), {}, origin, time.time_ns(), offsets=True))

    async def _read_out(self, chain: Chain, generation: Generation, older: Sequence[Generation]) -> bool:
        """Read a generation to its end. False if those behind it must wait for a look at the folders."""
        if generation.open is None:
            opening = asyncio.get_running_loop().run_in_executor(
                self._pool, partial(open_known, generation.name, generation.inode, packed=generation.packed)
            )
            try:
                generation.open = await opening
            except FileNotFoundError:
                self._look()
                return False
            except OSError as error:
                self._cannot_read(generation, error)
                return True
            self.open_files += 1
        async with AsyncExitStack() as stack:
            return await self._read_blocks(chain, generation, older, stack)

    async def _read_blocks(
        self, chain: Chain, generation: Generation, older: Sequence[Generation], stack: AsyncExitStack
    ) -> bool:
        constants = {"log.file.path": _json_path(generation.path), **self._labels}
        reading = self._start(chain, generation, SMALL_BYTES)
        stack.callback(lambda: _abandon(reading))
        large = False
        while True:
            try:
                block = await reading
            except OSError as error:  # of the read alone: an error of the queue is not the file's
                self._cannot_read(generation, error)
                return True
            begins = not generation.offset and block.size > 0
            if begins and older:
                # Whoever wrote here has left the older files behind; what came to them last was written before this.
                generation.resize(block.size, block.mtime_ns, self._monotonic())
                for earlier in older:
                    await self._read_out(chain, earlier, ())
            moved = block.windows.offset - generation.offset
            self._take_over(generation, block)
            more = block.more and moved > 0 and not block.replaced
            if more:
                if not large:
                    await stack.enter_async_context(self._large)
                    large = True
                reading = self._start(chain, generation, BLOCK_BYTES)
            for step in block.steps:
                await self._emit_step(generation, step, block, constants)
            if block.replaced:
                self._replaced(generation)
                return False
            if not more:
                break
        if generation.unread:
            at = generation.changed_at + self._config.partial_after
            self.due[chain] = min(at, self.due.get(chain, at))
        elif self.open_files > self._max_open and generation.live:
            generation.open = None
            self.open_files -= 1
        return True

    def _start(self, chain: Chain, generation: Generation, want: int) -> asyncio.Future[Block]:
        rested = self._monotonic() - generation.changed_at >= self._config.partial_after
        over = not generation.live and (generation.gone or chain.newer_has_data(generation))
        request = Request(
            generation.windows,
            generation.at,
            want,
            self._config.max_line,
            self._encoding,
            over,
            generation.size if rested else None,
        )
        assert generation.open is not None
        return asyncio.get_running_loop().run_in_executor(self._pool, read_block, generation.open, request)

    def _take_over(self, generation: Generation, block: Block) -> None:
        self.consumed_bytes += block.windows.offset - generation.offset
        generation.windows, generation.at, generation.left = block.windows, block.at, block.left
        generation.resize(block.size, block.mtime_ns, self._monotonic())

    def _cannot_read(self, generation: Generation, error: OSError) -> None:
        _log.error("A file cannot be read; it is tried again at every scan", path=generation.name, reason=error)
        generation.open = None

    def _replaced(self, generation: Generation) -> None:
        generation.replaced = True
        self.truncations += 1
        _log.warning("A file was truncated or overwritten; it is read from its beginning", path=generation.name)
        self._look()

    async def _emit_step(self, generation: Generation, step: Step, block: Block, constants: dict[str, bytes]) -> None:
        origin = self._origin(generation, step)
        generation.recorded = True
        batch = self._batches.make(step.cut, constants, origin, block.read_at_ns, offsets=True)
        if step.noted is not None:
            batch.counts.noted[step.noted] = 1
        await self._emit(batch)

    def _origin(self, generation: Generation, step: Step | None = None) -> Origin:
        position = generation.position(step.fingerprint, step.cut.at) if step else generation.position()
        return Origin(self._config.id, generation.source, encode_position(position))


def _abandon(reading: asyncio.Future[Block]) -> None:
    """Nobody will want what this read brings, not even its error."""
    if not reading.cancel() and not reading.cancelled():
        reading.exception()


def _json_path(path: str) -> bytes:
    """The path as JSON text; bytes of a name that are not UTF-8 are shown as U+FFFD."""
    return msgspec.json.encode(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
