"""The ``exec`` input: runs the model and reads what it writes, until it ends.

There is no position to go back to: what was read and is not yet in the queue when modeltail dies is gone, and the
model's next write meets a broken pipe. Files are the safer way.
"""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from typing import Final

from agent.inputs.contract import Activity, Emit, Stop
from agent.inputs.exec.child import STOPPING, Child, Ended
from agent.inputs.exec.config import ExecConfig
from agent.inputs.exec.last_words import LastWords
from agent.inputs.exec.oom import oom_kills
from agent.inputs.exec.pass_on import PassOn
from agent.inputs.exec.stream import Stream
from agent.inputs.exec.tail import Tail
from agent.inputs.line_batch import label_constants
from agent.log import Log
from agent.record import Batch, Counts

PASS_ON_SECS: Final = 1.0
"""How long the last of what is passed on is waited for."""

_log = Log("inputs.exec")


class ExecInput:
    """Runs ``child``; ``run`` returns when it has ended and all it wrote is emitted, with a last record that says how.
    Asked to stop, it asks the model to end, and kills it when its time is over."""

    def __init__(self, config: ExecConfig, child: Child) -> None:
        self.id = config.id
        self._config = config
        self._child = child
        self._program = os.path.basename(child.command[0])

    async def run(self, emit: Emit, stop: Stop) -> None:
        """Run the model to its end. When cancelled, the model lives on and what was not emitted is lost."""
        if stop.asked:
            return
        kills_before, began = oom_kills(), time.monotonic_ns()
        try:
            self._child.start()
        except OSError as error:
            failure = error.strerror or str(error)
            _log.error("The command cannot be started", input=self.id, command=self._child.command_line, reason=failure)
            await self._emit_last_words(emit, began, 0, "", failure)
            return
        _log.info("The model is started", input=self.id, command=self._child.command_line, pid=self._child.pid)
        tail = Tail()
        passing_on = self._passing_on()
        try:
            await self._run(emit, stop, passing_on, tail)
        finally:
            for pass_on in passing_on.values():
                pass_on.close()
        for pass_on in passing_on.values():
            await pass_on.wait_done(PASS_ON_SECS)
        kills_after = oom_kills()
        kills = 0 if kills_before is None or kills_after is None else kills_after - kills_before
        await self._emit_last_words(emit, began, kills, tail.text())

    async def activity(self, quiet_secs: float) -> Activity:
        """Always busy: the streams end when the model has."""
        return "busy"

    async def _run(self, emit: Emit, stop: Stop, passing_on: dict[str, PassOn], tail: Tail) -> None:
        labels = label_constants(self._config.labels)
        streams = [
            Stream(name, fd, self._config, labels, passing_on.get(name), tail if name == "stderr" else None)
            for name, fd in self._child.pipes.items()
        ]
        async with asyncio.TaskGroup() as tasks:
            for stream in streams:
                tasks.create_task(stream.run(emit), name=f"stream-{stream.name}")
            ending = tasks.create_task(self._end_when_asked(stop), name="end-model")
            await self._child.wait()
            ending.cancel()
            for stream in streams:
                stream.model_is_gone()

    async def _end_when_asked(self, stop: Stop) -> None:
        await stop.wait()
        if not self._child.told & STOPPING:
            self._child.send_signal(signal.SIGTERM)
        await asyncio.sleep(self._child.patience_secs)
        _log.error(
            "The model did not end in time and is killed", input=self.id, pid=self._child.pid,
            waited_secs=round(self._child.patience_secs, 1),
        )  # fmt: skip
        self._child.kill()

    def _passing_on(self) -> dict[str, PassOn]:
        how = self._config.passthrough
        return {
            name: PassOn(fd, name, complete=how == "complete")
            for fd, name in enumerate(self._child.pipes, 1)
            if how in ("always", "complete") or (how == "auto" and os.isatty(fd))
        }

    async def _emit_last_words(self, emit: Emit, began_ns: int, kills: int, stderr: str, failure: str = "") -> None:
        ended = self._child.ended or Ended(0)
        words = LastWords(
            ended=ended,
            told=self._child.told,
            killed=self._child.killed,
            duration_ns=(self._child.ended_at_ns or time.monotonic_ns()) - began_ns,
            command_line=self._child.command_line,
            program=self._program,
            pid=self._child.pid,
            oom_kills=kills,
            stderr=stderr,
            failure=failure,
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        line = words.line()
        if not failure:
            say = _log.info if words.is_expected else _log.error
            say("The model has ended", input=self.id, how=words.sentence(), status=ended.exit_status)
        constants = {**label_constants(self._config.labels), **words.constants()}
        counts = Counts(accepted=1, bytes=0)
        await emit(Batch(self.id, None, time.time_ns(), [line], {}, constants, counts))
        self._child.heard = True
