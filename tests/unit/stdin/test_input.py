"""What is particular to standard input: it ends, and it can be many things."""

import asyncio
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from agent.inputs.assembly.config import MultilineConfig
from agent.inputs.contract import Stop
from agent.inputs.stdin.config import StdinConfig
from agent.inputs.stdin.input import StdinInput
from agent.record import Batch


def read_all(fd: int, **settings: object) -> list[Batch]:
    """What a stdin input makes of this descriptor until it ends."""
    batches: list[Batch] = []

    async def emit(batch: Batch) -> None:
        batches.append(batch)

    async def run() -> None:
        async with asyncio.timeout(60):
            await StdinInput(StdinConfig(**({"id": "in"} | settings)), fd).run(emit, Stop())  # type: ignore[arg-type]

    asyncio.run(run())
    return batches


def lines_of(batches: list[Batch]) -> list[bytes]:
    """All lines, in order."""
    return [line for batch in batches for line in batch.lines]


def test_ends_when_the_writer_ends() -> None:
    """A real process writes and exits; its last line counts although it has no end, and there is no position."""
    code = "import sys, time\nfor i in range(3000): print(i, flush=i % 1000 == 0)\nsys.stdout.write('last')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        batches = read_all(writer.stdout.fileno())
    assert lines_of(batches) == [*(b"%d" % i for i in range(3000)), b"last"]
    assert {batch.origin for batch in batches} == {None}


@pytest.mark.parametrize("content", [b"", b"a\n", b"a\nb", b"x" * 99 + b"\n" + b"y\n" * 300_000])
def test_reads_a_file_given_as_standard_input(tmp_path: Path, content: bytes) -> None:
    """``modeltail run < model.log``."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert lines_of(read_all(file.fileno())) == content.splitlines()


def test_nothing_at_all_is_an_end() -> None:
    """``modeltail run < /dev/null`` ends."""
    with open(os.devnull, "rb") as nothing:
        assert read_all(nothing.fileno()) == []


def test_lines_gather_while_it_lingers() -> None:
    """A trickle travels together: many small writes, few batches."""
    code = "import os, time\nfor i in range(200): os.write(1, b'%d\\n' % i); time.sleep(0.002)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        batches = read_all(writer.stdout.fileno(), linger=0.2)
    assert lines_of(batches) == [b"%d" % i for i in range(200)]
    assert len(batches) < 50


def test_an_over_long_line_is_cut_and_never_held() -> None:
    """A line of 50 MB costs no more than the limit and a few blocks."""
    code = (
        "import sys\n"
        "sys.stdout.write('a\\n')\n"
        "for _ in range(50): sys.stdout.write('x' * 1_000_000)\n"
        "sys.stdout.write('\\nb\\n')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        tracemalloc.start()
        try:
            batches = read_all(writer.stdout.fileno())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [len(line) for line in lines_of(batches)] == [1, 1024**2, 1]
    assert sum(batch.counts.bytes for batch in batches) == 50_000_005
    assert peak < 8 * 1024**2


def test_the_descriptor_stays_as_it_was_given() -> None:
    """It is shared with the terminal or the shell: it must not become non-blocking."""
    reading, writing = os.pipe()
    os.write(writing, b"line\n")
    os.close(writing)
    read_all(reading)
    assert os.get_blocking(reading)
    os.close(reading)


def test_a_traceback_in_pieces_is_one_event() -> None:
    """However slowly it is written, and together with the line above it; the next line is its own."""
    code = (
        "import logging, os, time\n"
        "logging.basicConfig(format='%(levelname)s:%(message)s', stream=os.fdopen(1, 'w', 1))\n"
        "try: {}['a']\n"
        "except KeyError: logging.exception('failed')\n"
        "os.write(1, b'Traceback (most recent call last):\\n  File')\n"
        "time.sleep(0.05)\n"
        "os.write(1, b' \"a.py\", line 1\\nValueError: no\\nbye\\n')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        batches = read_all(writer.stdout.fileno(), linger=0.0)
    first, second, third = lines_of(batches)
    assert first.startswith(b"ERROR:failed\nTraceback")
    assert first.endswith(b"\nKeyError: 'a'")
    assert second == b'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no'
    assert third == b"bye"
    assert sum(batch.counts.accepted for batch in batches) == 3


def test_an_event_is_let_go_when_nothing_follows() -> None:
    """A failure that is the last word of a writer that stays is not held for ever."""
    reading, writing = os.pipe()
    arrived: list[Batch] = []

    async def run() -> None:
        gone = asyncio.Event()

        async def emit(batch: Batch) -> None:
            if batch.lines:
                arrived.append(batch)
                gone.set()

        settings = StdinConfig(id="in", linger=0.0, multiline=MultilineConfig(flush_after=0.1))
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(StdinInput(settings, reading).run(emit, Stop()))
            os.write(writing, b"ERROR:root:failed\n")
            await gone.wait()
            os.write(writing, b"more\n")
            os.close(writing)
            await task

    asyncio.run(run())
    os.close(reading)
    assert lines_of(arrived) == [b"ERROR:root:failed", b"more"]
