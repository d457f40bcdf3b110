"""The record of the model's end. Pure."""

import signal
from collections.abc import Collection
from typing import Final

import msgspec

from agent.inputs.exec.child import Ended

_TRACEBACK: Final = "Traceback (most recent call last)"


class LastWords(msgspec.Struct, kw_only=True):
    """What is known of the model's end.

    ``told`` are the signals it was sent before, ``killed`` says that it did not end in time, ``oom_kills`` how many
    processes of its control group were killed for want of memory while it ran, ``failure`` why it could not even be
    started.
    """

    ended: Ended
    told: Collection[int] = ()
    killed: bool = False
    duration_ns: int
    command_line: str
    program: str
    pid: int = 0
    oom_kills: int = 0
    stderr: str = ""
    failure: str = ""
    at: str

    @property
    def is_expected(self) -> bool:
        """Whether it ended well, or of what it was told: by the signal itself, or with the status a shell gives it."""
        if self.killed or self.failure:
            return False
        return self.ended.exit_status == 0 or self.ended.exit_status - 128 in self.told

    def sentence(self) -> str:
        """What happened."""
        secs = f"after {self.duration_ns / 1e9:.1f} s"
        if self.failure:
            return f"{self.program} could not be started: {self.failure}"
        if self.killed:
            return f"{self.program} did not end in time when it was asked to, and was killed {secs}"
        if not self.ended.signum:
            return f"{self.program} ended with status {self.ended.status} {secs}"
        name = signal_name(self.ended.signum)
        if self.ended.signum == signal.SIGKILL and self.oom_kills:
            return f"{self.program} was killed for want of memory {secs}"
        return f"{self.program} was ended by {name} {secs}"

    def line(self) -> bytes:
        """The record as a line of JSON."""
        expected = self.is_expected
        said: dict[str, object] = {
            "@timestamp": self.at,
            "message": self.sentence(),
            "log.level": "info" if expected else "error",
            "event.action": "exited",
            "event.outcome": "success" if expected else "failure",
            "event.duration": self.duration_ns,
        }
        if self.pid:
            said["process.pid"] = self.pid
        if self.ended.signum:
            said["signal"] = signal_name(self.ended.signum)
        if self.oom_kills:
            said["oom_kills"] = self.oom_kills
        if self.stderr:
            said["stderr"] = self.stderr
            begin = self.stderr.find(_TRACEBACK)
            if begin >= 0 and not expected:
                said["error.stack_trace"] = self.stderr[begin:]
        return msgspec.json.encode(said)

    def constants(self) -> dict[str, bytes]:
        """What has a place in the document that no line of a model can claim."""
        return {
            "event.kind": b'"event"',
            "process.exit_code": b"%d" % self.ended.exit_status,
            "process.command_line": msgspec.json.encode(self.command_line),
        }


def signal_name(signum: int) -> str:
    """``SIGKILL``; a number where it has no name."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
