"""What is said of the model's end."""

import signal
from collections.abc import Collection

import msgspec
import pytest

from agent.inputs.exec.child import Ended
from agent.inputs.exec.last_words import LastWords

TERM, INT, KILL, SEGV = signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV
TRACEBACK = 'Traceback (most recent call last):\n  File "serve.py", line 3, in <module>\nRuntimeError: CUDA error'


def words(ended: Ended, **known: object) -> LastWords:
    """The end of a model that ran a second and a half."""
    usual = {"duration_ns": 1_500_000_000, "command_line": "serve --port 1", "program": "serve", "at": "now", "pid": 7}
    return LastWords(ended=ended, **(usual | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ended", "told", "killed", "oom_kills", "level", "sentence"),
    [
        (Ended(0), (), False, 0, "info", "serve ended with status 0 after 1.5 s"),
        (Ended(3), (), False, 0, "error", "serve ended with status 3 after 1.5 s"),
        (Ended(0), (TERM,), False, 0, "info", "serve ended with status 0 after 1.5 s"),
        (Ended(0, TERM), (TERM,), False, 0, "info", "serve was ended by SIGTERM after 1.5 s"),
        (Ended(0, TERM), (), False, 0, "error", "serve was ended by SIGTERM after 1.5 s"),
        (Ended(0, SEGV), (TERM,), False, 0, "error", "serve was ended by SIGSEGV after 1.5 s"),
        (Ended(143), (TERM,), False, 0, "info", "serve ended with status 143 after 1.5 s"),
        (Ended(130), (INT, TERM), False, 0, "info", "serve ended with status 130 after 1.5 s"),
        (Ended(143), (), False, 0, "error", "serve ended with status 143 after 1.5 s"),
        (Ended(0, KILL), (), False, 0, "error", "serve was ended by SIGKILL after 1.5 s"),
        (Ended(0, KILL), (), False, 1, "error", "serve was killed for want of memory after 1.5 s"),
        (Ended(1), (), False, 1, "error", "serve ended with status 1 after 1.5 s"),
        (Ended(0, KILL), (TERM, KILL), True, 0, "error",
         "serve did not end in time when it was asked to, and was killed after 1.5 s"),
        (Ended(0, 60), (), False, 0, "error", "serve was ended by signal 60 after 1.5 s"),
    ],
)  # fmt: skip
def test_what_was_to_be_expected_is_no_error(
    ended: Ended, told: Collection[int], killed: bool, oom_kills: int, level: str, sentence: str
) -> None:
    """A good end, or the end it was told to make, is information; everything else an error."""
    said = msgspec.json.decode(words(ended, told=told, killed=killed, oom_kills=oom_kills).line())
    assert (said["log.level"], said["message"]) == (level, sentence)
    assert said["event.outcome"] == ("success" if level == "info" else "failure")


def test_status_is_that_of_a_shell() -> None:
    """One number for both ways to end, as Kubernetes has it; the signal has its name besides."""
    killed = words(Ended(0, KILL))
    assert killed.constants()["process.exit_code"] == b"137"
    assert msgspec.json.decode(killed.line())["signal"] == "SIGKILL"
    assert words(Ended(3)).constants()["process.exit_code"] == b"3"
    assert "signal" not in msgspec.json.decode(words(Ended(3)).line())


def test_a_traceback_at_the_end_is_the_error() -> None:
    """From where it begins; the lines before it are with the rest of standard error."""
    said = msgspec.json.decode(words(Ended(1), stderr=f"loading\n{TRACEBACK}").line())
    assert said["error.stack_trace"] == TRACEBACK
    assert said["stderr"] == f"loading\n{TRACEBACK}"
    assert "error.stack_trace" not in msgspec.json.decode(words(Ended(0), stderr=TRACEBACK).line())
    assert "error.stack_trace" not in msgspec.json.decode(words(Ended(1), stderr="INFO: bye").line())


def test_a_command_that_is_not_there() -> None:
    """No time, no process: why it could not be started."""
    said = msgspec.json.decode(words(Ended(127), failure="No such file or directory", pid=0).line())
    assert said["message"] == "serve could not be started: No such file or directory"
    assert said["log.level"] == "error"
    assert "process.pid" not in said
