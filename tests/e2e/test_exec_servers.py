"""`modeltail exec` around a server nobody here wrote, on a terminal, as the first process of a container, and out of
memory."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.wrapped import Wrapped, python

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def test_uvicorn_with_its_access_log(tmp_path: Path) -> None:
    """Requests answered, their lines and the server's own delivered, each on its stream; SIGTERM ends it in order."""
    (tmp_path / "served.py").write_text(APP)
    with Wrapped(tmp_path) as model:
        model.run(sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "0", "served:app")

        def address() -> str | None:
            lines = "\n".join(model.messages("stderr"))
            found = re.search(r"running on (http://[\d.:]+)", lines)
            return found and found[1]

        model.wait_for(address)
        for n in range(50):
            with urllib.request.urlopen(f"{address()}/predict?n={n}", timeout=10) as answer:
                assert answer.read() == b"hello"
        assert model.stop() in (0, 128 + signal.SIGTERM)  # newer ones end by the signal they got
    access = [line for line in model.messages("stdout") if "/predict" in line]
    assert [re.findall(r"n=(\d+)", line) for line in access] == [[str(n)] for n in range(50)]
    assert any("Application shutdown complete" in line for line in model.messages("stderr"))
    assert model.last_words["log"]["level"] == "info"


def _read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    deadline = time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < deadline, seen
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # the other side is gone
            assert text in seen, seen
    return seen


def test_on_a_terminal_output_is_shown_and_ctrl_c_comes_once(tmp_path: Path) -> None:
    """The terminal signals the model itself; we do not do it again. Our own log stays where it was sent."""
    code = """
import signal, sys, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("ready")
while not heard: time.sleep(0.01)
time.sleep(0.5)
print("heard", len(heard))
sys.exit(3)
"""
    ours, theirs = pty.openpty()
    with Wrapped(tmp_path) as model:
        # A session of its own, with this terminal as the one that controls it.
        model.run(*python(code), stdout=theirs, under=["sh", "-c", 'exec setsid --ctty "$@" <&1', "sh"])
        os.close(theirs)
        _read_until(ours, b"ready")
        os.write(ours, b"\x03")
        shown = _read_until(ours, b"heard 1")
        assert b"Ready" not in shown
        assert model.ends() == 3
    os.close(ours)
    assert model.messages() == ["ready", "heard 1"]


def test_as_the_first_process_it_reaps_orphans(tmp_path: Path) -> None:
    """In a container whoever is left without a parent is ours: none stays behind as a zombie while the model lives."""
    code = """
import os, pathlib, sys, time
def states():
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try: rest = stat.read_text().rpartition(")")[2].split()
        except OSError: continue
        if rest[1] == "1" and stat.parent.name != str(os.getpid()): found.append(rest[0])
    return found
for _ in range(50):
    if os.fork() == 0:
        if os.fork() == 0: time.sleep(0.05)
        os._exit(0)
    os.wait()
print("parent", os.getppid())
while states(): time.sleep(0.01)
print("all reaped")
sys.exit(6)
"""
    if os.geteuid() != 0:
        pytest.skip("a process namespace needs root")
    with Wrapped(tmp_path) as model:
        # The namespace's first process is modeltail; ours is unshare, which ends with its status.
        model.run(*python(code), under=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
        assert model.ends() == 6
    assert model.messages() == ["parent 1", "all reaped"]


def test_as_the_first_process_it_is_stopped_like_any_other(tmp_path: Path) -> None:
    """The kernel keeps from a first process whatever it has not asked for: it did, and the model is told."""
    code = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("told"), sys.exit(0)))
print("ready")
while True: signal.pause()
"""
    if os.geteuid() != 0:
        pytest.skip("a process namespace needs root")
    with Wrapped(tmp_path) as model:
        model.run(*python(code), under=["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
        model.wait_for(lambda: model.messages() == ["ready"])
        (first,) = Path(f"/proc/{model.pid}/task/{model.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert model.ends() == 0
    assert model.messages() == ["ready", "told"]


@contextlib.contextmanager
def _memory_group(limit_bytes: int) -> Iterator[Path]:
    """A control group (version 1) with a limit; gives the file to write a process into."""
    group = Path("/sys/fs/cgroup/memory") / f"modeltail-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"a memory control group of version 1 cannot be made: {error.strerror}")
    try:
        yield group / "cgroup.procs"
    finally:
        deadline = time.monotonic() + 20
        while True:
            try:
                group.rmdir()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)


def test_a_model_killed_for_want_of_memory_is_said_to_be(tmp_path: Path) -> None:
    """Really killed by the kernel: the control group's count tells it from any other SIGKILL."""
    code = """
print("loading")
held = []
while True: held.append(b"x" * 10_000_000)
"""
    with _memory_group(300 * 1024**2) as procs, Wrapped(tmp_path) as model:
        model.run(*python(code), under=["sh", "-c", f'echo $$ >{procs}; exec "$@"', "sh"])
        assert model.ends() == 137
    assert model.messages() == ["loading"]
    assert "was killed for want of memory" in model.last_words["message"]
    assert model.last_words["log"]["level"] == "error"
    assert int(model.last_words["fields"]["oom_kills"]) >= 1


def test_a_model_killed_by_somebody_is_not_said_to_want_memory(tmp_path: Path) -> None:
    """The same signal, and no count: a person, or a supervisor."""
    with _memory_group(300 * 1024**2) as procs, Wrapped(tmp_path) as model:
        model.run("sh", "-c", "kill -KILL $$", under=["sh", "-c", f'echo $$ >{procs}; exec "$@"', "sh"])
        assert model.ends() == 137
    assert "was ended by SIGKILL" in model.last_words["message"]
    assert "oom_kills" not in model.last_words.get("fields", {})


def test_a_shell_that_leaves_its_child_behind(tmp_path: Path) -> None:
    """`sh -c "server & wait"` dies of SIGTERM without its child: we end all the same, and say what was left."""
    with Wrapped(tmp_path) as model:
        model.run("sh", "-c", "sleep 600 & echo $!; wait")
        model.wait_for(lambda: model.messages())
        assert model.stop() == 128 + signal.SIGTERM
        assert model.said(
            "Processes that the model left behind still hold its output; what they write from now on is lost"
        )
    subprocess.run(["kill", "-KILL", model.messages()[0]], check=True)
