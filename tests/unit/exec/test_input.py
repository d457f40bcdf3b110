"""A model run by us: its streams, its end, and what it leaves behind."""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from agent.cli import EXIT_STATUSES
from agent.inputs.contract import Stop
from agent.inputs.exec import stream
from agent.inputs.exec.child import NOT_FOUND, NOT_RUNNABLE, Child
from agent.inputs.exec.config import ExecConfig
from agent.inputs.exec.held import OVERRUN
from agent.inputs.exec.input import ExecInput
from agent.record import Batch
from tests.unit.exec.running import PATIENCE_SECS, Ran, python, run_to_its_end, wait_for

_OF_THE_C_LIBRARY = 0b11 << 31
"""Signals 32 and 33, which glibc has for itself and ignores in what it spawns."""


def test_streams_are_kept_apart_and_in_order() -> None:
    """Each line with the stream it came on, in the order it was written there; a last line needs no end."""
    code = """
import os
for n in range(3000):
    os.write(1, b"out %d\\n" % n)
    os.write(2, b"err %d\\n" % n)
os.write(1, b"last")
"""
    ran = asyncio.run(run_to_its_end(python(code)))
    assert ran.lines("stdout") == [*(b"out %d" % n for n in range(3000)), b"last"]
    assert ran.lines("stderr") == [b"err %d" % n for n in range(3000)]
    assert ran.child.exit_status == 0


def test_last_words_come_last() -> None:
    """How it ended, how long it ran, the command, and the end of standard error."""
    ran = asyncio.run(run_to_its_end(["sh", "-c", "echo a; echo sorry >&2; exit 3"]))
    words = ran.last_words
    said = msgspec.json.decode(words.lines[0])
    assert words.constants["process.exit_code"] == b"3"
    assert words.constants["process.command_line"] == b"\"sh -c 'echo a; echo sorry >&2; exit 3'\""
    assert said["message"].startswith("sh ended with status 3 after ")
    assert said["stderr"] == "sorry"
    assert said["event.duration"] > 0
    assert said["process.pid"] == ran.child.pid
    assert words.counts.accepted == 1


@pytest.mark.parametrize(("status", "command"), [
    (NOT_FOUND, ["/nowhere/at-all"]),
    (NOT_FOUND, ["no-such-program-anywhere"]),
    (NOT_RUNNABLE, ["/"]),
    (NOT_RUNNABLE, [__file__]),
])  # fmt: skip
def test_a_command_that_cannot_be_started_has_a_shells_status(status: int, command: list[str]) -> None:
    """And says so in a record."""
    ran = asyncio.run(run_to_its_end(command))
    assert ran.child.exit_status == status
    assert status in EXIT_STATUSES
    assert ran.last_words.constants["process.exit_code"] == b"%d" % status
    assert b"could not be started" in ran.last_words.lines[0]


def test_the_model_gets_signals_and_pipes_as_any_program_does() -> None:
    """What we hold back and what Python ignores is not handed on: a pipe that is closed ends it, so does SIGINT. What
    whoever started us ignores (``nohup``) it ignores too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1})
    try:
        ran = asyncio.run(run_to_its_end(["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status"]))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    blocked, ignored = (int(line.split()[1], 16) for line in ran.lines("stdout"))
    assert blocked == 0
    by_others = {n for n in range(1, 32) if n not in (signal.SIGPIPE, signal.SIGXFSZ)}
    inherited = sum(1 << n - 1 for n in by_others if signal.getsignal(n) == signal.SIG_IGN)
    assert ignored & ~_OF_THE_C_LIBRARY & ~inherited == 0


async def _ask_when_it_spoke(ran: Ran, stop: Stop) -> None:
    await wait_for(lambda: ran.batches)
    stop.ask()


def test_what_it_writes_on_its_way_out_is_read() -> None:
    """Asked to stop, it is told SIGTERM, and heard to the end."""
    code = "trap 'echo going; sleep 0.2; echo gone; exit 0' TERM; echo here; while :; do sleep 0.01; done"
    ran = asyncio.run(run_to_its_end(["sh", "-c", code], _ask_when_it_spoke))
    assert ran.lines("stdout") == [b"here", b"going", b"gone"]
    assert ran.child.exit_status == 0
    assert not ran.child.killed


def test_a_model_that_ignores_sigterm_is_killed() -> None:
    """When its time is over; what it said until then is read, and the record names the reason."""
    code = "trap '' TERM; echo here; while :; do sleep 0.01; done"
    ran = asyncio.run(run_to_its_end(["sh", "-c", code], _ask_when_it_spoke, patience_secs=0.3))
    assert ran.lines("stdout") == [b"here"]
    assert ran.child.exit_status == 128 + signal.SIGKILL
    assert b"did not end in time" in ran.last_words.lines[0]


def test_a_model_told_before_is_not_told_again() -> None:
    """SIGINT was forwarded: the stop that follows sends no SIGTERM on top."""
    code = "trap 'echo term' TERM; trap 'sleep 0.3; exit 5' INT; echo here; while :; do sleep 0.01; done"

    async def interrupt(ran: Ran, stop: Stop) -> None:
        await wait_for(lambda: ran.batches)
        ran.child.send_signal(signal.SIGINT)
        stop.ask()

    ran = asyncio.run(run_to_its_end(["sh", "-c", code], interrupt))
    assert ran.lines("stdout") == [b"here"]
    assert ran.child.exit_status == 5


def test_orphans_that_hold_the_pipe_do_not_hold_us() -> None:
    """The model ends, a process it left behind keeps its output open and silent for longer than anybody waits."""
    ran = asyncio.run(run_to_its_end(["sh", "-c", "sleep 600 & echo $!; echo done"]))
    orphan, done = ran.lines("stdout")
    assert done == b"done"
    os.kill(int(orphan), signal.SIGKILL)  # it lived


def test_orphans_that_never_stop_talking_do_not_hold_us() -> None:
    """Nor does one that writes on and on."""
    ran = asyncio.run(run_to_its_end(["sh", "-c", "(while :; do echo more || exit; sleep 0.001; done) & echo done"]))
    assert b"done" in ran.lines("stdout")
    assert ran.last_words.constants["process.exit_code"] == b"0"


def test_what_orphans_still_say_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends a moment after its master is heard, and its end is not waited past."""
    monkeypatch.setattr(stream, "QUIET_SECS", PATIENCE_SECS)
    monkeypatch.setattr(stream, "LATE_SECS", PATIENCE_SECS)
    ran = asyncio.run(run_to_its_end(["sh", "-c", "(sleep 0.1; echo worker) & echo master"]))
    assert ran.lines("stdout") == [b"master", b"worker"]


def test_a_model_that_closes_its_streams_is_waited_for() -> None:
    """The end of its output is not its end."""
    ran = asyncio.run(run_to_its_end(["sh", "-c", "echo bye; exec >&- 2>&-; sleep 0.2; exit 4"]))
    assert ran.lines("stdout") == [b"bye"]
    assert ran.child.exit_status == 4


def test_a_queue_that_does_not_answer_does_not_hold_up_the_model(tmp_path: Path) -> None:
    """An append that does not return: the model writes far more than all buffers hold, and ends; then all that it wrote
    is either there or counted."""
    count, done = 40_000, tmp_path / "done"
    code = f"""
import os
line = b"x" * 999 + b"\\n"
for _ in range({count}): os.write(1, line)
open({str(done)!r}, "w").close()
"""

    async def hang_until_done(_: Batch) -> None:
        await wait_for(done.exists)

    ran = asyncio.run(run_to_its_end(python(code), emit_first=hang_until_done))
    counts = [batch.counts for batch in ran.batches]
    dropped = sum(c.dropped.get(OVERRUN, 0) for c in counts)
    assert len(ran.lines("stdout")) + dropped == count
    assert dropped > 0
    assert sum(c.accepted for c in counts) == count + 1
    assert sum(c.bytes for c in counts) == count * 1000


def test_with_block_the_model_waits(tmp_path: Path) -> None:
    """`on_full: block`: nothing is dropped, the model stands in its write until there is room."""
    done = tmp_path / "done"
    code = f"""
import os
for _ in range(40_000): os.write(1, b"x" * 999 + b"\\n")
open({str(done)!r}, "w").close()
"""
    room = asyncio.Event()

    async def wait_for_room(_: Batch) -> None:
        await room.wait()

    async def make_room(ran: Ran, _: Stop) -> None:
        await wait_for(lambda: _sleeps_in_write(ran.child.pid))
        assert not done.exists()
        room.set()

    ran = asyncio.run(run_to_its_end(python(code), make_room, emit_first=wait_for_room, on_full="block"))
    assert len(ran.lines("stdout")) == 40_000
    assert done.exists()


def _sleeps_in_write(pid: int) -> bool:
    """Whether the process stands in a write to its standard output."""
    try:
        call = Path(f"/proc/{pid}/syscall").read_text().split()
    except OSError:
        return False
    return call[:2] == ["1", "0x1"]


def test_no_zombies_and_no_descriptors_are_left() -> None:
    """Many models one after the other leave nothing behind."""
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(20):
        ran = asyncio.run(run_to_its_end(["true"]))
        assert not Path(f"/proc/{ran.child.pid}").exists()
    assert set(os.listdir("/proc/self/fd")) <= before


def test_cancelled_it_leaves_the_model_alive() -> None:
    """We may fail; the model must not notice."""

    async def scenario(child: Child) -> None:
        spoke = asyncio.Event()

        async def emit(_: Batch) -> None:
            spoke.set()

        running = asyncio.create_task(ExecInput(ExecConfig(id="it", linger=0), child).run(emit, Stop()))
        await spoke.wait()
        running.cancel()
        await asyncio.wait((running,))

    with Child(["sh", "-c", "echo a; while :; do sleep 0.01; done"], 60) as child:
        asyncio.run(scenario(child))
        assert child.is_alive
        child.kill()
        assert child.wait_blocking().signum == signal.SIGKILL


def test_asked_to_stop_before_it_began_it_starts_nothing() -> None:
    """A stop during the start is a stop; the status is that of what asked."""

    async def scenario(child: Child) -> None:
        stop = Stop()
        stop.ask()
        await ExecInput(ExecConfig(id="it"), child).run(_never, stop)

    with Child(["false"], 60) as child:
        child.send_signal(signal.SIGINT)
        asyncio.run(scenario(child))
        assert child.pid == 0
        assert child.exit_status == 128 + signal.SIGINT


def test_a_signal_from_before_the_start_is_not_forgotten() -> None:
    """It came while the model was being started: it gets it then."""
    with Child(["sleep", "600"], 60) as child:
        child.send_signal(signal.SIGTERM)
        child.start()
        assert child.wait_blocking().signum == signal.SIGTERM


async def _never(_: Batch) -> None:
    raise AssertionError


def test_output_is_passed_on_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """To the stream it came on, line ends or none, text or not."""
    code = "import os; os.write(1, b'a\\r\\n\\xff\\x00b'); os.write(2, b'err\\n' * 30000)"
    asyncio.run(run_to_its_end(python(code), passthrough="complete"))
    out, err = capfdbinary.readouterr()
    assert out == b"a\r\n\xff\x00b"
    assert err == b"err\n" * 30000


@pytest.mark.parametrize("mode", ["never", "auto"])
def test_output_is_not_passed_on_to_what_is_no_terminal(mode: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Unless asked."""
    asyncio.run(run_to_its_end(["echo", "a"], passthrough=mode))
    assert capfdbinary.readouterr() == (b"", b"")


def test_idle_is_never_said_of_a_model() -> None:
    """Its streams end when it does."""

    async def ask(ran: Ran, stop: Stop) -> None:
        assert await ExecInput(ExecConfig(id="it"), ran.child).activity(0) == "busy"
        stop.ask()

    began = time.monotonic()
    asyncio.run(run_to_its_end(["sleep", "600"], ask))
    assert time.monotonic() - began < 600
