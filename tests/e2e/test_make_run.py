"""What ``make run`` starts: it shows records within seconds, ends when told, and leaves nothing behind."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.run import seconds

ROOT = Path(__file__).resolve().parents[2]
STORED = re.compile(r"^([\d,]+) records stored", re.MULTILINE)
IN_THIS_RUN = re.compile(r"^([\d,]+) records were stored in this run", re.MULTILINE)


@contextmanager
def _example(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.run", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def _read_until(process: "subprocess.Popen[str]", sentence: str) -> str:
    """What it prints up to the line with this in it, or to its end."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if sentence in line:
            break
    return text


def _finish(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    text = process.stdout.read()
    assert process.wait(60) == 0, text
    return text


def _processes_in(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append((link.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return found


def test_example_ends_by_itself_with_a_ledger_that_balances(tmp_path: Path) -> None:
    """Exit status 0, records stored, the ledger printed, both processes gone; a second run goes on from there."""
    with _example(tmp_path, "--for", "4s") as process:
        text = _finish(process)
    first = IN_THIS_RUN.search(text)
    assert first is not None
    assert int(first[1]) > 0
    assert "The ledger balances." in text
    assert _processes_in(tmp_path) == []
    with _example(tmp_path, "--for", "3s") as process:
        text = _finish(process)
    second = IN_THIS_RUN.search(text)
    assert second is not None
    total = re.search(r"^  delivered +([\d,]+)$", text, re.MULTILINE)
    assert total is not None
    assert int(total[1]) == int(first[1]) + int(second[1])


def test_example_shows_records_and_commands_that_work(tmp_path: Path) -> None:
    """Within 10 s; each command it suggests answers while it runs; an interrupt ends it with status 0."""
    began = time.monotonic()
    with _example(tmp_path) as process:
        text = _read_until(process, "Ctrl-C ends both")
        assert time.monotonic() - began < 10
        stored = STORED.search(text)
        assert stored is not None
        assert int(stored[1]) > 0
        commands = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("  ")]
        assert {command[0].rpartition("/")[2] for command in commands} == {"modeltail", "curl"}
        for command in commands:
            if command[0] != "curl" and "--follow" not in command:
                _run_suggested(command[1:], tmp_path)
        process.send_signal(signal.SIGINT)
        assert "The ledger balances." in _finish(process)
    assert _processes_in(tmp_path) == []


def test_second_example_in_one_folder_says_why_it_cannot_run(tmp_path: Path) -> None:
    """Status 1 and a sentence; the first goes on undisturbed."""
    with _example(tmp_path) as first:
        _read_until(first, "records stored")
        with _example(tmp_path) as second:
            assert second.stdout is not None
            assert second.stdout.read() == "make run: it is running already: .modeltail/lock is held\n"
            assert second.wait(60) == 1
        first.send_signal(signal.SIGINT)
        assert "The ledger balances." in _finish(first)


def test_example_shows_what_stopped_the_agent(tmp_path: Path) -> None:
    """When the agent cannot run, its own words are shown, and the model is not left alone."""
    (tmp_path / ".modeltail").mkdir()
    (tmp_path / ".modeltail" / "queue").write_text("in the way")
    with _example(tmp_path) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        assert process.wait(60) == 1
    assert "modeltail ended with status 1" in text
    assert str(Path(".modeltail", "queue")) in text
    assert _processes_in(tmp_path) == []


def _run_suggested(arguments: list[str], folder: Path) -> None:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "PWD": str(folder), "MODELTAIL_CONFIG": str(ROOT / "agent.yaml"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments], cwd=folder, env=environment, capture_output=True, check=False
    )
    nothing_found = 2
    assert done.returncode in {0, nothing_found}, done.stderr
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("text", "expected"), [("15s", 15.0), ("15", 15.0), ("0.5s", 0.5), ("2m", 120.0), ("1h", 3600.0), (" 3 s ", 3.0)]
)
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    """For ``make run FOR=…``."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 days", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With a sentence, not with a guess."""
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        seconds(text)
