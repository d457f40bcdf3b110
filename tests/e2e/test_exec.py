"""`modeltail exec`: the real agent around real models."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.ledger import read_ledger
from tests.e2e.wrapped import Wrapped, python

SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH")
ATTENTIVE = """
import signal, sys
left = [7]
def hear(signum, _):
    print(signal.Signals(signum).name)
    left[0] -= 1
    if not left[0]: sys.exit(9)
for name in sys.argv[1:]: signal.signal(getattr(signal, name), hear)
print("ready")
while True: signal.pause()
"""


@pytest.mark.parametrize(
    ("code", "status", "level"),
    [
        ("echo out; echo err >&2", 0, "info"),
        ("echo out; echo err >&2; exit 42", 42, "error"),
        ("echo out; echo err >&2; kill -SEGV $$", 139, "error"),
        ("echo out; echo err >&2; kill -KILL $$", 137, "error"),
    ],
)
def test_ends_with_the_models_status(tmp_path: Path, code: str, status: int, level: str) -> None:
    """Whatever the end, all is delivered before we end the same way: both streams, and the last words."""
    with Wrapped(tmp_path) as model:
        model.run("sh", "-c", code)
        assert model.ends() == status
    assert (model.messages("stdout"), model.messages("stderr")) == (["out"], ["err"])
    assert model.last_words["log"]["level"] == level
    assert model.last_words["process"]["exit_code"] == status
    ledger = read_ledger(model.queue)
    assert ledger.balances
    assert ledger.inputs["exec"].accepted == 3
    assert ledger.outputs["ndjson"].fates == {"delivered": 3}


def test_a_traceback_in_stderr_is_one_record_with_its_head(tmp_path: Path) -> None:
    """What `logging.exception` writes, and the interpreter at the end, each is one record of the stream it came on."""
    code = """
import logging
logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
try: 1 / 0
except ZeroDivisionError: logging.exception("scoring failed")
print("beside")
{}["gone"]
"""
    with Wrapped(tmp_path) as model:
        model.run(*python(code))
        assert model.ends() == 1
    first, second = [r for r in model.records if r["log"].get("iostream") == "stderr"]
    assert "scoring failed" in first["message"]
    assert (first["error"]["type"], second["error"]["type"]) == ("ZeroDivisionError", "KeyError")
    assert first["error"]["stack_trace"].startswith("Traceback ")
    assert model.messages() == ["beside"]


def test_the_model_has_three_descriptors_and_our_standard_input(tmp_path: Path) -> None:
    """Nothing of ours is open in it: no segment, no lock, no socket."""
    with Wrapped(tmp_path) as model:
        model.run("ls", "/proc/self/fd")  # the fourth is the folder that it lists
        assert model.ends() == 0
    assert model.messages() == ["0", "1", "2", "3"]


def test_the_models_environment_is_as_it_was(tmp_path: Path) -> None:
    """What we set for our own libraries would change the model's."""
    with Wrapped(tmp_path) as model:
        model.run("env")
        assert model.ends() == 0
    without_us = subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines()
    assert set(model.messages()) - set(without_us) <= {"LC_CTYPE=C.UTF-8"}  # Python's own doing
    assert set(without_us) <= set(model.messages())


def test_every_signal_reaches_the_model(tmp_path: Path) -> None:
    """Each once, also those that mean something to us; it decides what to make of them."""
    with Wrapped(tmp_path) as model:
        model.run(*python(ATTENTIVE), *SIGNALS)
        model.wait_for(lambda: model.messages() == ["ready"])
        for n, name in enumerate(SIGNALS, 1):
            model.process.send_signal(getattr(signal, name))
            model.wait_for(lambda n=n: len(model.messages()) > n)  # type: ignore[misc]
        assert model.ends() == 9
    assert model.messages() == ["ready", *SIGNALS]


def test_a_second_interrupt_is_harmless(tmp_path: Path) -> None:
    """An impatient Ctrl-C, Ctrl-C, Ctrl-C: the model hears all of them, and all it says on its way out is delivered."""
    code = """
import signal, sys, time
heard = []
signal.signal(signal.SIGINT, lambda *_: (heard.append(1), print("interrupted", len(heard))))
print("ready")
while len(heard) < 3: time.sleep(0.01)
for n in range(1000): print("saving", n)
sys.exit(130)
"""
    with Wrapped(tmp_path) as model:
        model.run(*python(code))
        model.wait_for(lambda: model.messages() == ["ready"])
        for n in range(1, 4):
            model.process.send_signal(signal.SIGINT)
            model.wait_for(lambda n=n: f"interrupted {n}" in model.messages())  # type: ignore[misc]
        assert model.ends() == 130
    assert model.messages()[4:] == [f"saving {n}" for n in range(1000)]
    assert model.last_words["log"]["level"] == "info"


def test_the_model_is_stopped_before_its_files_are_left(tmp_path: Path) -> None:
    """SIGTERM: what the model writes on its way out, to its streams and to its files, is delivered, however long
    after the signal."""
    log = tmp_path / "model.log"
    code = f"""
import signal, sys, time
log = open({str(log)!r}, "w", buffering=1)
def end(*_):
    time.sleep(0.7)  # longer than files have to be quiet
    log.write("last of the file\\n")
    print("last of the stream")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
log.write("first of the file\\n")
print("ready")
while True: time.sleep(0.1)
"""
    inputs = [{"type": "file", "paths": [str(log)], "linger": 0, "scan_interval": "50ms"}]
    with Wrapped(tmp_path, inputs=inputs) as model:
        model.run(*python(code))
        model.wait_for(lambda: len(model.records) == 2)
        assert model.stop() == 0
    assert model.messages() == ["ready", "last of the stream"]
    files = [r["message"] for r in model.records if "file" in r["log"]]
    assert files == ["first of the file", "last of the file"]
    assert model.last_words["log"]["level"] == "info"


def test_a_model_that_ignores_sigterm_is_killed_in_time(tmp_path: Path) -> None:
    """It is said, delivered, and the whole takes no longer than the grace period."""
    with Wrapped(tmp_path, grace="8s") as model:
        model.run("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        model.wait_for(lambda: model.messages() == ["ready"])
        assert model.stop() == 137
        assert model.said("The model did not end in time and is killed")
        (said,) = model.said("Stopped")
    assert said["forced"] == []
    assert "did not end in time" in model.last_words["message"]
    assert model.last_words["log"]["level"] == "error"


def test_last_words_wait_for_an_output_that_is_dead(tmp_path: Path) -> None:
    """We end with the model's status within the grace period; the record of its end is delivered by the next start."""
    dead = [{"id": "ndjson", "type": "elasticsearch", "hosts": ["http://127.0.0.1:9"]}]
    with Wrapped(tmp_path, outputs=dead, grace="3s") as model:
        model.run(*python("raise RuntimeError('no CUDA')"))
        assert model.ends() == 1
    with Wrapped(tmp_path) as again:
        again.run("true")
        assert again.ends() == 0
    words, _ = [r for r in again.records if r.get("event", {}).get("action") == "exited"]
    assert words["error"]["type"] == "RuntimeError"
    assert words["error"]["message"] == "no CUDA"


def test_a_model_that_writes_much_is_not_held_up_by_a_dead_output(tmp_path: Path) -> None:
    """100 MB as fast as it can, through a queue of 32 MiB that nobody empties: it runs to its end, and every line is
    queued or counted."""
    count = 100_000
    code = f"""
import os
noise = os.urandom(500).hex()
for n in range({count}): os.write(1, b"%06d %s\\n" % (n, os.urandom(496).hex().encode()))
"""
    dead = [{"type": "elasticsearch", "hosts": ["http://127.0.0.1:9"]}]
    queue = {"path": str(tmp_path / "queue"), "max_bytes": "32MiB", "min_free": 0}
    with Wrapped(tmp_path, outputs=dead, queue=queue, grace="3s") as model:
        model.run(*python(code))
        assert model.ends(120) == 0
    ledger = read_ledger(model.queue)
    assert ledger.balances
    counts = ledger.inputs["exec"]
    assert counts.accepted == count + 1
    dropped = sum(counts.dropped.values())
    assert set(counts.dropped) <= {"queue_full", "overrun"}
    assert dropped > 0
    assert ledger.outputs["elasticsearch"].queued == count + 1 - dropped


def test_a_hanging_disk_holds_up_neither_the_model_nor_the_end(tmp_path: Path) -> None:
    """No append returns any more: the model writes on, ends, and so do we, with its status, when the grace period is
    over."""
    done = tmp_path / "done"
    code = f"""
import os, sys, time
print("ready")
while not os.path.exists({str(tmp_path / "hang")!r}): time.sleep(0.01)
for n in range(60_000): os.write(1, b"x" * 999 + b"\\n")
open({str(done)!r}, "w").close()
sys.exit(3)
"""
    queue = {"path": str(tmp_path / "queue"), "sync": "always", "min_free": 0}
    with Wrapped(tmp_path, queue=queue, grace="3s") as model:
        model.run(*python(code), module="tests.e2e.hanging_disk")
        model.wait_for(lambda: model.messages() == ["ready"])
        (tmp_path / "hang").touch()
        model.wait_for(done.exists)
        assert model.ends() == 3
        assert model.said("The queue's disk does not answer: what the model writes is dropped")


def test_if_we_fail_the_model_goes_on(tmp_path: Path) -> None:
    """A bug of ours: the model is not disturbed, its output goes to ours instead, signals reach it, its status is
    ours."""
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("told"), sys.exit(7)))
signal.signal(signal.SIGINT, lambda *_: print("interrupted"))
print("ready")
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
for n in range(5000): print("on", n)
print("through", file=sys.stderr)
while True: time.sleep(0.01)
"""
    said = tmp_path / "stdout"
    with Wrapped(tmp_path) as model, said.open("wb") as stdout:
        model.run(*python(code), str(tmp_path / "fail"), module="tests.e2e.failing_queue", stdout=stdout.fileno())
        model.wait_for(lambda: model.messages() == ["ready"])
        (tmp_path / "fail").touch()
        model.wait_for(lambda: "on 4999" in said.read_text() and "\nthrough\n" in model.log_text())
        model.process.send_signal(signal.SIGINT)
        model.wait_for(lambda: "interrupted" in said.read_text())
        assert model.stop() == 7
        assert "RuntimeError: a bug" in model.log_text()
        assert "modeltail: cannot go on; the model does" in model.log_text()
    assert said.read_text().endswith("told\n")


def test_a_queue_that_cannot_be_used_does_not_keep_the_model_from_running(tmp_path: Path) -> None:
    """It is said why nothing is collected; the model runs, is signalled, and gives its status all the same."""
    (tmp_path / "queue").write_text("not a folder")
    said = tmp_path / "stdout"
    with Wrapped(tmp_path) as model, said.open("wb") as stdout:
        model.run("sh", "-c", "trap 'exit 8' TERM; echo ready; while :; do sleep 0.01; done", stdout=stdout.fileno())
        model.wait_for(lambda: said.read_text() == "ready\n")
        assert "cannot be used" in model.log_text()
        assert model.stop() == 8


def test_if_we_are_killed_the_models_next_write_meets_a_broken_pipe(tmp_path: Path) -> None:
    """And nothing else happens to it: the docs say so, and here is what it sees."""
    code = """
import os, signal, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_IGN)
print(os.getppid())
parent = os.getppid()
while os.getppid() == parent: time.sleep(0.01)
try: os.write(1, b"anybody?\\n")
except BrokenPipeError: open(sys.argv[1], "w").close()
"""
    with Wrapped(tmp_path) as model:
        model.run(*python(code), str(tmp_path / "broken"))
        model.wait_for(lambda: model.messages() == [str(model.pid)])
        model.kill()
        model.wait_for((tmp_path / "broken").exists)


def test_secrets_of_the_configuration_are_not_in_the_last_words(tmp_path: Path) -> None:
    """Nor in the log, wherever they stand in the command."""
    outputs = [{"id": "out", "type": "elasticsearch", "hosts": ["http://127.0.0.1:9"], "api_key": "sesame-open"},
               {"type": "ndjson", "path": str(tmp_path / "out.ndjson")}]  # fmt: skip
    with Wrapped(tmp_path, outputs=outputs, grace="3s") as model:
        model.run("echo", "sesame-open", "--token=abc")
        assert model.ends() == 0
        assert "sesame" not in model.log_text()
    assert model.last_words["process"]["command_line"] == "echo *** --token=***"


def test_nothing_is_started_with_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    """The mistakes, and no model."""
    with Wrapped(tmp_path, queu={}) as model:
        model.run("touch", str(tmp_path / "started"))
        assert model.ends() == 1
        assert "queu: is not a setting" in model.log_text()
    assert not (tmp_path / "started").exists()


def test_without_a_configuration_it_says_what_to_write(tmp_path: Path) -> None:
    """The least that is needed, which works as it stands."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "agent", "exec", "touch", "started"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "agent.yaml: cannot be read" in done.stderr
    assert "`outputs: [{type: local}]`" in done.stderr
    assert not (tmp_path / "started").exists()


def test_ordinary_run_refuses_an_exec_input(tmp_path: Path) -> None:
    """It has no command to run, and says which command does."""
    with Wrapped(tmp_path) as model:
        model.start(wait=False)
        assert model.ends() == 1
        assert "`modeltail exec -- COMMAND`" in model.log_text()


def test_passed_on_output_is_the_models_and_nothing_else(tmp_path: Path) -> None:
    """Our own log goes to standard error: what is on standard output is, byte for byte, what the model wrote."""
    said = tmp_path / "stdout"
    inputs = [{"type": "exec", "passthrough": "complete"}]
    with Wrapped(tmp_path, inputs=inputs, log={"level": "debug"}) as model, said.open("wb") as stdout:
        model.run(*python("for n in range(100000): print(n)"), stdout=stdout.fileno())
        assert model.ends() == 0
    assert said.read_text() == "".join(f"{n}\n" for n in range(100_000))


def test_a_reader_that_never_reads_does_not_hold_up_the_model(tmp_path: Path) -> None:
    """Output passed on to a pipe that nobody empties is left out there, said, and collected all the same."""
    reading, writing = os.pipe()
    inputs = [{"type": "exec", "passthrough": "always"}]
    with Wrapped(tmp_path, inputs=inputs) as model:
        code = "for n in range(20000): print('x' * 999)"
        model.run(*python(code), stdout=writing)
        os.close(writing)
        assert model.ends() == 0
        assert model.said(
            "Output of the model was not passed on: who reads it is too slow; it was collected all the same"
        )
    os.close(reading)
    assert len(model.messages()) == 20_000


def test_metrics_and_ledger_know_the_input(tmp_path: Path) -> None:
    """While it runs."""
    with Wrapped(tmp_path) as model:
        model.start("--", "sh", "-c", "echo a; exec sleep 600", command="exec")
        model.wait_for(lambda: model.messages() == ["a"])
        assert model.ledger()["inputs"]["exec"]["accepted"] == 1
        assert b'modeltail_input_records_total{input="exec"} 1.0' in model.get("/metrics")
        assert json.loads(model.get("/readyz"))
        assert model.stop() == 128 + signal.SIGTERM
