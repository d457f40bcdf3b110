"""One stream of the model: read from its pipe, passed on, cut into lines, and put into the queue, in order."""

import asyncio
import fcntl
import os
import struct
import termios
import time
from collections.abc import Mapping
from typing import Final

from agent.inputs.assembly.assembly import Assembly, joining
from agent.inputs.contract import Emit, Stop
from agent.inputs.exec.config import ExecConfig
from agent.inputs.exec.held import Held
from agent.inputs.exec.pass_on import PassOn
from agent.inputs.exec.tail import Tail
from agent.inputs.line_assembler import LineAssembler
from agent.inputs.line_batch import LineBatches
from agent.inputs.lines import BLOCK_BYTES, Cut
from agent.log import Log
from agent.record import Batch

QUIET_SECS: Final = 0.5
LATE_SECS: Final = 3.0
"""When the model has ended, processes it left behind may still hold the pipe: they are heard until they are quiet for
the one, and not longer than the other."""
_BUSY_BYTES: Final = 64 * 1024
"""A read this large means that the writer is in a hurry: then nothing is waited for."""

_log = Log("inputs.exec")


class Pipe:
    """The reading end of a pipe, non-blocking."""

    def __init__(self, fd: int, input_id: str) -> None:
        self._fd = fd
        self._input = input_id
        self._ready = asyncio.Event()
        self._give_up_at: float | None = None
        self._owed = 0

    async def read(self) -> bytes:
        """The next bytes; none at the end, or when the model is gone and nobody else writes."""
        while True:
            if self._owed <= 0 and self._is_late():
                return self._give_up()
            try:
                data = os.read(self._fd, BLOCK_BYTES)
                self._owed -= len(data)
                return data
            except BlockingIOError:
                if not await self._wait():
                    return self._give_up()

    def model_is_gone(self) -> None:
        """Wait for nobody for long from now on."""
        self._give_up_at = asyncio.get_running_loop().time() + LATE_SECS
        self._owed = struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0]
        self._ready.set()

    def _is_late(self) -> bool:
        return self._give_up_at is not None and asyncio.get_running_loop().time() > self._give_up_at

    async def _wait(self) -> bool:
        """Wait until there may be something to read. False when nothing more is to be expected."""
        loop = asyncio.get_running_loop()
        self._ready.clear()
        loop.add_reader(self._fd, self._ready.set)
        try:
            async with asyncio.timeout(None if self._give_up_at is None else QUIET_SECS):
                await self._ready.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._fd)
        return True

    def _give_up(self) -> bytes:
        _log.warning(
            "Processes that the model left behind still hold its output; what they write from now on is lost",
            input=self._input,
        )
        return b""


class Stream:
    """``run`` reads until the stream's end, or for a moment after ``model_is_gone``."""

    def __init__(
        self,
        name: str,
        fd: int,
        config: ExecConfig,
        constants: Mapping[str, bytes],
        pass_on: PassOn | None,
        tail: Tail | None,
    ) -> None:
        self.name = name
        self._config = config
        self._constants = {**constants, "log.iostream": b'"%s"' % name.encode()}
        self._pass_on = pass_on
        self._tail = tail
        self._gone = Stop()
        self._pipe = Pipe(fd, config.id)
        self._held = Held(config.id, name, waits=config.on_full == "block")

    async def run(self, emit: Emit) -> None:
        """Read and emit to the end. When cancelled, what was read and not emitted is lost."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(), name=f"read-{self.name}")
            tasks.create_task(self._emit(emit), name=f"emit-{self.name}")

    def model_is_gone(self) -> None:
        """What it wrote is in the pipe by now."""
        self._pipe.model_is_gone()
        self._gone.ask()

    async def _read(self) -> None:
        lines = LineAssembler(self._config.max_line)
        ended = False
        while not ended:
            data = await self._pipe.read()
            read_at_ns = time.time_ns()
            ended = not data
            if data:
                if self._tail is not None:
                    self._tail.add(data)
                if self._pass_on is not None:
                    await self._pass_on.give(data)
            for cut in lines.feed(data, ended=ended):
                await self._held.put(cut, read_at_ns)
            if len(data) >= _BUSY_BYTES:
                await asyncio.sleep(0)  # others' turn
            elif not ended:
                await self._gone.wait(self._config.linger)
        self._held.close()

    async def _emit(self, emit: Emit) -> None:
        config = self._config
        batches = LineBatches(config.id, config.include_lines, config.exclude_lines)
        assembly = Assembly(joining("plain", config.multiline, config.max_line))

        async def put(made: Cut, read_at_ns: int) -> None:
            await emit(batches.make(made, dict(self._constants), None, read_at_ns, offsets=False))

        while True:
            try:
                async with asyncio.timeout(None if assembly.due is None else max(0.0, assembly.due - time.monotonic())):
                    first = await self._held.first()
            except TimeoutError:
                if (late := assembly.flush(0, time.monotonic())).lines:
                    await put(late, time.time_ns())
                continue
            if first is None:
                break
            cut, read_at_ns = first
            await put(assembly.feed(cut, time.monotonic()), read_at_ns)
            self._held.taken()
            if dropped := self._held.dropped():
                await emit(Batch(config.id, None, read_at_ns, [], {}, {}, dropped))
        if (last := assembly.flush(0)).lines:
            await put(last, time.time_ns())
