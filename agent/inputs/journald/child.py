"""journalctl as a child process: its command line, and its output as it comes."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agent.errors import ConfigError
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.lines import BLOCK_BYTES

PROGRAM: Final = "journalctl"
PIPE_BYTES: Final = 1024**2
_SAID_BYTES: Final = 2000


def command(config: JournaldConfig, cursor: str | None, *, follow: bool) -> list[str]:
    """journalctl's arguments. It begins with the entry of the cursor itself, not behind it: ``--after-cursor`` skips an
    entry unseen where that one is gone.

    Followed, journalctl shows the last boot only, unless told to merge; in a folder that would hide what other machines
    wrote.
    """
    arguments = ["--quiet", "--no-pager", "--output=json", "--all"]
    if config.path is not None:
        arguments += [f"--directory={config.path}", "--merge"]
    if follow:
        arguments += ["--follow", "--no-tail"]
    if cursor is not None:
        arguments.append(f"--cursor={cursor}")
    arguments += [f"--unit={unit}" for unit in config.units]
    return [*arguments, "--", *config.matches] if config.matches else arguments


def last_entry(config: JournaldConfig) -> list[str]:
    """journalctl's arguments that show the newest entry."""
    first, *others = command(config, None, follow=False)
    return [first, "--lines=1", *others]


class Child:
    """A running journalctl."""

    def __init__(self, process: asyncio.subprocess.Process, output: "Pipe", complaints: "asyncio.Task[str]") -> None:
        self._process = process
        self._output = output
        self._complaints = complaints

    async def read(self) -> bytes:
        """The next bytes of its output; none at the end. While nobody reads, journalctl waits."""
        return await self._output.read()

    async def ended(self) -> tuple[int, str]:
        """How it ended, and the last it said about it."""
        return await self._process.wait(), await self._complaints

    def end(self) -> None:
        """Ask it to end; what it has written can still be read."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()


class Pipe:
    """The reading end of a pipe, read when asked only."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    async def read(self) -> bytes:
        """The next bytes; none at the end."""
        while True:
            try:
                return os.read(self._fd, BLOCK_BYTES)
            except BlockingIOError:
                await self._readable()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)


@asynccontextmanager
async def running(arguments: list[str], where: str) -> AsyncIterator[Child]:
    """Run journalctl; killed at the end if it has not ended. ``where`` names the input in messages.

    Raises:
        ConfigError: there is no journalctl, or it may not be run.
    """
    async with contextlib.AsyncExitStack() as stack:
        output, writing = _pipe(stack)
        complaints, complaining = _pipe(stack)
        with contextlib.suppress(OSError):
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        try:
            process = await asyncio.create_subprocess_exec(
                PROGRAM, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=writing, stderr=complaining
            )
        except OSError as error:
            raise ConfigError(
                [f"{where}: the journal is read with the command {PROGRAM}, which cannot be run: {error.strerror}"]
            ) from error
        finally:
            os.close(writing)
            os.close(complaining)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_last_words(Pipe(complaints)))
            try:
                yield Child(process, Pipe(output), listening)
            finally:
                listening.cancel()
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


async def _last_words(complaints: Pipe) -> str:
    """The last of what it says, heard all the time, so that it never waits for us to listen."""
    said = b""
    while more := await complaints.read():
        said = (said + more)[-_SAID_BYTES:]
    return said.decode(errors="replace").strip()


def _pipe(stack: contextlib.AsyncExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    stack.callback(os.close, reading)
    return reading, writing
