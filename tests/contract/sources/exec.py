"""A model that modeltail runs, as a source."""

import asyncio
import os
import sys
from pathlib import Path

from agent.inputs.contract import Activity, Emit, Input, Stop
from agent.inputs.exec.child import Child
from agent.inputs.exec.config import ExecConfig
from agent.inputs.exec.input import ExecInput
from agent.record import Batch
from tests.contract.sources.source import Source

_MODEL = """
import os, select, signal, sys
asked, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)
words = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
open(sys.argv[2], "w").close()
while True:
    ready, _, _ = select.select([words, asked], [], [])
    if words in ready:
        data = os.read(words, 65536)
        while data:
            data = data[os.write(1, data):]
    elif asked in ready:
        break
"""
"""Says what it is given to say; told to end, it says the rest and ends."""


class ExecSource(Source):
    """A real process that says what it is given to say."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.mkfifo(folder / "words")
        self.writing = os.open(folder / "words", os.O_RDWR)
        self.ready = folder / "ready"
        command = [sys.executable, "-IS", "-c", _MODEL, str(folder / "words"), str(self.ready)]
        self.child = Child(command, patience_secs=60)
        self.child.__enter__()

    def input(self, positions: dict[str, bytes], **settings: object) -> Input:
        """An exec input that runs the process."""
        config = ExecConfig(**({"id": "it", "linger": 0.0, "passthrough": "never"} | settings))  # type: ignore[arg-type]
        return _Running(ExecInput(config, self.child), self.ready)

    def write(self, data: bytes) -> None:
        """Give the process something to say; small enough to fit its pipe."""
        os.write(self.writing, data)

    def close(self) -> None:
        """End the process if it lives, and let go of its pipes."""
        if self.child.is_alive:
            self.child.kill()
            self.child.wait_blocking()
        self.child.__exit__()
        os.close(self.writing)


class _Running:
    """The input, with a model that is up and running before anybody asks it to stop, and without the record of its
    end, which the model did not write."""

    def __init__(self, tested: ExecInput, ready: Path) -> None:
        self.id = tested.id
        self._tested = tested
        self._ready = ready

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Run it."""

        async def emit_of_the_model(batch: Batch) -> None:
            if "process.exit_code" not in batch.constants:
                await emit(batch)

        async def ask_when_running() -> None:
            await stop.wait()
            while not self._ready.exists():
                await asyncio.sleep(0.001)
            asked.ask()

        asked = Stop()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask_when_running())
            await self._tested.run(emit_of_the_model, asked)
            asking.cancel()

    async def activity(self, quiet_secs: float) -> Activity:
        """Its own."""
        return await self._tested.activity(quiet_secs)
