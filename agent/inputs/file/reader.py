"""Reading the generations of a chain, oldest first, and emitting their lines.

Reads run on threads, unless the system has the bytes in memory. While a batch waits in ``emit`` the next block of the
same file is read, never more.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from functools import partial

import msgspec

from agent.inputs.assembly.assembly import Assembly, joining
from agent.inputs.assembly.containers import container_of
from agent.inputs.contract import Emit
from agent.inputs.file.again import read_again
from agent.inputs.file.block import Block, CachedRead, Request, Step, read_block
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
        self._cached = CachedRead()
        self._monotonic = monotonic
        self._look = look
        self._max_open = max_open
        self._slots = asyncio.Semaphore(max(1, min(READERS, max_open // 4)))
        self._large = asyncio.Semaphore(LARGE_READERS)
        self._batches = LineBatches(config.id, config.include_lines, config.exclude_lines)
        self._labels = label_constants(config.labels)
        self._joining = joining(config.format, config.multiline, config.max_line)
        self._assembles = config.format != "plain" or config.multiline != "none"

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
        try:
            constants = await self._prepare(generation)
        except OSError as error:
            self._cannot_read(generation, error)
            return True
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
                await self.let_go(generation)
                self._replaced(generation)
                return False
            if not more:
                break
        over = self._over(chain, generation) and not generation.unread
        await self.let_go(generation, None if over else self._monotonic())
        if generation.assembly is not None and generation.assembly.due is not None:
            self.due[chain] = min(generation.assembly.due, self.due.get(chain, generation.assembly.due))
        if generation.unread:
            at = generation.changed_at + self._config.partial_after
            self.due[chain] = min(at, self.due.get(chain, at))
        elif self.open_files > self._max_open and generation.live and not generation.holding:
            generation.open = None
            self.open_files -= 1
        return True

    def _over(self, chain: Chain, generation: Generation) -> bool:
        """Whether nobody will add to it any more."""
        return not generation.live and (generation.gone or chain.newer_has_data(generation))

    async def _prepare(self, generation: Generation) -> dict[str, bytes]:
        """The constants of a generation's lines; before its first ones, what was open when it was last read."""
        loop, config = asyncio.get_running_loop(), self._config
        if generation.places is None:
            looking = config.format != "plain"
            generation.places = await loop.run_in_executor(self._pool, container_of, generation.path) if looking else {}
        if generation.assembly is None and (self._assembles or generation.open_events):
            assert generation.open is not None
            assembly = Assembly(self._joining)
            events = generation.open_events
            encoding = self._encoding.of_file(generation.windows.head)
            lines = await loop.run_in_executor(
                self._pool, read_again, generation.open, events, encoding, self._joining.raw_line
            )
            for event in events:
                assembly.resume(event)
            made = [assembly.feed(piece, self._monotonic()) for piece in lines]
            generation.assembly = assembly
            for piece in made:  # complete all of a sudden, because the settings have changed
                if piece.lines:
                    await self._emit_held(generation, piece)
            generation.open_events = ()
        return self._constants(generation)

    def _constants(self, generation: Generation) -> dict[str, bytes]:
        return {"log.file.path": _json_path(generation.path), **(generation.places or {}), **self._labels}

    async def let_go(self, generation: Generation, now: float | None = None) -> None:
        """Emit what is open and has waited long enough at ``now``; everything without it."""
        if generation.assembly is not None and generation.assembly.due is not None:
            made = generation.assembly.flush(generation.offset, now)
            if made.lines:
                await self._emit_held(generation, made)

    async def _emit_held(self, generation: Generation, made: Cut) -> None:
        origin, constants = self._origin(generation), self._constants(generation)
        generation.recorded = True
        await self._emit(self._batches.make(made, constants, origin, time.time_ns(), offsets=True))

    def _start(self, chain: Chain, generation: Generation, want: int) -> asyncio.Future[Block]:
        rested = self._monotonic() - generation.changed_at >= self._config.partial_after
        over = self._over(chain, generation)
        request = Request(
            generation.windows,
            generation.at,
            want,
            self._joining.raw_line,
            self._encoding,
            over,
            generation.size if rested else None,
        )
        opened, loop = generation.open, asyncio.get_running_loop()
        assert opened is not None
        if not opened.packed:
            try:
                # What is in memory is read here; a thread would bring its bytes into another processor's cache.
                block = read_block(opened, request, partial(self._cached, opened.fd))
            except OSError:  # not all in memory, or trouble: the thread will say
                pass
            else:
                reading: asyncio.Future[Block] = loop.create_future()
                reading.set_result(block)
                return reading
        return loop.run_in_executor(self._pool, read_block, opened, request)

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
        made = generation.assembly.feed(step.cut, self._monotonic()) if generation.assembly is not None else step.cut
        origin = self._origin(generation, step)
        generation.recorded = True
        batch = self._batches.make(made, constants, origin, block.read_at_ns, offsets=True)
        if step.noted is not None:
            batch.counts.noted[step.noted] = batch.counts.noted.get(step.noted, 0) + 1
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
