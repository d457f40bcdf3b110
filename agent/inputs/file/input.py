"""The ``file`` input: one task keeps the picture of what is there, and each chain with something to read has a task
of its own while there is."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.file.catalogue import Catalogue, examine
from agent.inputs.file.chain import Chain
from agent.inputs.file.config import FileConfig
from agent.inputs.file.encoding import encoding_named
from agent.inputs.file.globs import Globs
from agent.inputs.file.listing import list_files
from agent.inputs.file.reader import ChainReader
from agent.inputs.file.wake import FolderWatch, folder_watch
from agent.inputs.file.writers import has_writer
from agent.log import Log

POLL_SECS = 0.5
"""Time between two looks where the system does not tell of changes."""
THREADS = 4
MAX_OPEN = 1000
"""Files kept open while nothing happens to them, at most; fewer if the process may open fewer than twice as many."""
_REST_PER_SCAN = 20
"""After a scan that changing names called for, the next such one waits this many times as long as it took: 5 % of a
core at most, however busy the folder."""

_log = Log("inputs.file")


class Progress(msgspec.Struct):
    """How this input stands, for the status endpoint. ``generations_behind`` are rotated files not yet read to their
    end."""

    files: int = 0
    unread_bytes: int = 0
    generations_behind: int = 0
    truncations: int = 0


class FileInput:
    """Follows the files that ``config.paths`` names. ``positions`` is what the queue last knew of each source
    (``Origin.state``)."""

    def __init__(
        self, config: FileConfig, positions: Mapping[str, bytes], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.id = config.id
        self._config = config
        self._positions = positions
        self._monotonic = monotonic
        self._run: _Run | None = None

    def progress(self) -> Progress:
        """How this input stands, as last seen."""
        return self._run.progress() if self._run is not None else Progress()

    async def activity(self, quiet_secs: float) -> Activity:
        """Idle when there were files, all are read to their end and have not changed for ``quiet_secs``, and no process
        that can be seen has one open for writing."""
        return await self._run.activity(quiet_secs) if self._run is not None else "busy"

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Follow the files until asked to stop, then read until they are quiet. Cancelling leaves at once; what was
        not emitted is read again."""
        woken = asyncio.Event()
        reads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"{self.id}-read")
        looks = ThreadPoolExecutor(1, thread_name_prefix=f"{self.id}-look")
        try:
            with folder_watch(self.id, woken) as watch:
                async with asyncio.TaskGroup() as tasks:
                    self._run = _Run(
                        self._config, self._positions, self._monotonic, emit, tasks, reads, looks, watch, woken
                    )
                    waker = tasks.create_task(_wake_when_asked(stop, woken))
                    await self._run.follow(stop)
                    await self._run.read_until_quiet()
                    await self._run.let_go_of_events()
                    waker.cancel()
        finally:
            if self._run is not None:
                self._run.let_go()
            # A read that hangs must not hold up the end; its thread lets go of the file when it returns.
            reads.shutdown(wait=False, cancel_futures=True)
            looks.shutdown(wait=False, cancel_futures=True)


class _Run:
    """What lives between the start and the end of ``FileInput.run``."""

    def __init__(
        self,
        config: FileConfig,
        positions: Mapping[str, bytes],
        monotonic: Callable[[], float],
        emit: Emit,
        tasks: asyncio.TaskGroup,
        reads: ThreadPoolExecutor,
        looks: ThreadPoolExecutor,
        watch: FolderWatch,
        woken: asyncio.Event,
    ) -> None:
        self._config = config
        self._monotonic = monotonic
        self._tasks = tasks
        self._looks = looks
        self._watch = watch
        self._woken = woken
        self._globs = Globs(
            list(map(_absolute, config.paths)),
            [_absolute(x) if "/" in x else x for x in config.exclude],
            read_gzip=config.read_gzip,
        )
        self._catalogue = Catalogue(config, positions, monotonic)
        self._max_open = min(MAX_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
        self._encoding = encoding_named(config.encoding)
        self._reader = ChainReader(config, self._encoding, emit, reads, monotonic, self._look_soon, self._max_open)
        self._reading: set[asyncio.Task[None]] = set()
        self._names_changed = False
        self._warned: set[str] = set()
        self._scan_began = float("-inf")
        self._scan_saw_all = False
        self._changed_at: float | None = None
        self._by_name: dict[str, Chain] = {}

    def progress(self) -> Progress:
        generations = [g for chain in self._catalogue.chains.values() for g in chain.generations]
        behind = sum(1 for g in generations if not g.live and g.unread)
        return Progress(len(generations), sum(g.unread for g in generations), behind, self._reader.truncations)

    async def activity(self, quiet_secs: float) -> Activity:
        """See ``FileInput``. What is not known yet is looked at, and told when asked again."""
        chains = list(self._catalogue.chains.values())
        if self._reading or not self._scan_saw_all or any(chain.has_work() for chain in chains):
            return "busy"
        if self._changed_at is None:
            return "unseen"
        files = [generation for chain in chains for generation in chain.all()]
        quiet_at = max([self._changed_at, *(generation.changed_at for generation in files)]) + quiet_secs
        if self._names_changed or self._scan_began < quiet_at:
            if self._monotonic() >= quiet_at:
                self._look_soon()  # what has not been looked at since may have changed all the same
            return "busy"
        loop = asyncio.get_running_loop()
        # Whoever wrote last may have done so, and gone, since the last look: a line without its end would be left.
        sizes = {generation.name: generation.size for generation in files if generation.live}
        if await loop.run_in_executor(self._looks, has_writer, {generation.inode for generation in files}):
            return "busy"
        if await loop.run_in_executor(self._looks, _have_other_sizes, sizes):
            self._look_soon()
            return "busy"
        return "idle"

    def let_go(self) -> None:
        """Close every file."""
        for chain in self._catalogue.chains.values():
            for generation in chain.generations:
                generation.open = None

    async def follow(self, stop: Stop) -> None:
        """Look and read until asked to stop."""
        next_scan = calm_until = self._monotonic()
        while not stop.asked:
            now = self._monotonic()
            if now >= next_scan or (self._names_changed and now >= calm_until):
                await self._scan()
                after = self._monotonic()
                next_scan = after + (
                    self._config.scan_interval if self._watch.usable else min(POLL_SECS, self._config.scan_interval)
                )
                calm_until = after + (after - now) * _REST_PER_SCAN
                continue
            for chain in [chain for chain, due in self._reader.due.items() if due <= now]:
                del self._reader.due[chain]
                self._start(chain)
            until = min([next_scan, *self._reader.due.values(), *([calm_until] if self._names_changed else [])])
            if await self._wait_for_change(until - now):
                # Lines gather meanwhile, and so do the kernel's events.
                await stop.wait(self._config.linger)
                self._take_changes()

    async def read_until_quiet(self) -> None:
        """Read until a last look, one linger later, finds nothing new."""
        before = -1
        while True:
            await self._scan()
            for chain in list(self._catalogue.chains.values()):
                self._start(chain)
            while self._reading:
                await asyncio.wait(self._reading)
            if before == self._reader.consumed_bytes and not self._names_changed:
                return
            before = self._reader.consumed_bytes
            await asyncio.sleep(self._config.linger)

    async def let_go_of_events(self) -> None:
        """Emit what still waits for more lines."""
        for chain in self._catalogue.chains.values():
            for generation in chain.generations:
                await self._reader.let_go(generation)

    async def _wait_for_change(self, timeout_secs: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, timeout_secs)):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def _take_changes(self) -> None:
        changes = self._watch.take()
        self._names_changed = self._names_changed or changes.names
        for path in changes.written:
            chain = self._by_name.get(path)
            if chain is not None:
                self._start(chain)

    def _look_soon(self) -> None:
        self._names_changed = True
        self._woken.set()

    async def _scan(self) -> None:
        """Look at the folders, and read where there is something to read."""
        self._names_changed = False
        self._scan_began = self._monotonic()
        known = self._catalogue.known()
        loop = asyncio.get_running_loop()
        chains = {path: chain.names() for path, chain in self._catalogue.chains.items()}
        listing = await loop.run_in_executor(self._looks, list_files, self._globs, chains, known.keys())
        questions = self._catalogue.questions(listing)
        if questions:
            room = self._max_open - sum(generation.open is not None for _, generation in known.values())
            answers = await loop.run_in_executor(
                self._looks, examine, questions, self._config.max_line, self._encoding, room
            )
        else:
            answers = []
        settled = self._catalogue.apply(listing, questions, answers)
        if self._watch.watch(listing.folders) or not settled:
            self._names_changed = True
        self._warn(listing.missing, listing.errors)
        self._scan_saw_all = settled and not listing.errors and not any(answer.error for answer in answers)
        self._by_name = {}
        self._reader.open_files = 0
        for chain in self._catalogue.chains.values():
            for generation in chain.all():
                self._by_name[generation.name] = chain
                self._changed_at = max(generation.changed_at, self._changed_at or generation.changed_at)
                self._reader.open_files += generation.open is not None
            if chain.has_work():
                self._start(chain)

    def _start(self, chain: Chain) -> None:
        """Have the chain read, again if it is being read: what was found may have come behind its back."""
        if chain.active:
            chain.wanted = True
            return
        chain.active = True
        task = self._tasks.create_task(self._reader.read(chain), name=f"read {chain.path}")
        self._reading.add(task)
        task.add_done_callback(lambda done: self._ended(done, chain))

    def _ended(self, task: asyncio.Task[None], chain: Chain) -> None:
        self._reading.discard(task)
        chain.active = False

    def _warn(self, missing: list[str], errors: Mapping[str, OSError]) -> None:
        """Say once that a folder is not there, again after it was."""
        for folder in missing:
            if folder not in self._warned:
                _log.warning(
                    "A folder of log files does not exist yet; it is looked for at every scan",
                    input=self._config.id,
                    path=folder,
                )
        self._warned = set(missing)
        for path, error in errors.items():
            _log.error("A folder cannot be listed; it is tried again at every scan", path=path, reason=error)


async def _wake_when_asked(stop: Stop, woken: asyncio.Event) -> None:
    await stop.wait()
    woken.set()


def _have_other_sizes(sizes: Mapping[str, int]) -> bool:
    """Whether one of these files is gone or has another size."""
    try:
        return any(os.stat(name).st_size != size for name, size in sizes.items())
    except OSError:
        return True


def _absolute(pattern: str) -> str:
    """The pattern from the root: positions and ``log.file.path`` must not depend on where the agent was started."""
    return os.path.abspath(pattern)
