"""Which lines belong together, by the blocks that real programs print."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.assembly.grammar import Known
from tests.unit.assembly.assembled import Reading
from tests.unit.assembly.blocks import BLOCKS, SINGLES

LINES = sorted(
    {line.encode() for block in BLOCKS.values() for line in block.split("\n")} | {x.encode() for x in SINGLES}
)


def events_of(text: str) -> list[str]:
    """The events of a whole source."""
    reading = Reading()
    reading.write(text.encode())
    return [event.text.decode() for event in reading.end()]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_one_event(name: str) -> None:
    """Alone, and between lines that belong to nothing."""
    block = BLOCKS[name]
    assert events_of(block + "\n") == [block]
    for single in SINGLES:
        assert events_of(f"{single}\n{block}\n{single}\n") == [single, block, single]


@pytest.mark.parametrize("name", ["python", "chained", "group", "state_dict", "cuda", "syntax", "java", "go"])
def test_two_blocks_are_two_events(name: str) -> None:
    """A traceback right behind a block is an event of its own."""
    assert events_of(f"{BLOCKS[name]}\n{BLOCKS['python']}\n") == [BLOCKS[name], BLOCKS["python"]]


@pytest.mark.parametrize("single", SINGLES)
def test_a_line_that_can_be_part_of_nothing_is_not_held(single: str) -> None:
    """It is an event as soon as it is read."""
    reading = Reading()
    reading.write(single.encode() + b"\n")
    assert [event.text.decode() for event in reading.events] == [single]


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-22 10:00:00,123 - scorer - WARNING - cache miss",
        "ERROR:root:boom",
        "[2026-11-22 10:00:00 +0000] [7] [CRITICAL] worker failed",
        "E1122 10:00:00.123456 1 server.cc:592] no",
        "2026-11-22T10:00:00Z [error    ] failed",
        'time=2026-11-22 level=error msg="failed"',
    ],
)
def test_only_a_failure_is_held_for_its_traceback(line: str) -> None:
    """A line of text with the level warning or above; what comes next lets it go, or joins it."""
    reading = Reading()
    reading.write(line.encode() + b"\n")
    assert reading.events == []
    reading.write(b"2026-11-22 10:00:01,000 - scorer - INFO - next\n")
    assert len(reading.events) == 2


def test_blank_lines_behind_a_block_are_not_its() -> None:
    """They are lines of their own, to be counted as empty."""
    assert events_of(f"{BLOCKS['go']}\n\nnext\n") == [BLOCKS["go"], "", "next"]


def test_a_torn_traceback_ends_where_something_else_begins() -> None:
    """A process killed while it printed, and its successor."""
    torn = "\n".join(BLOCKS["python"].split("\n")[:3])
    assert events_of(f"{torn}\n{SINGLES[0]}\n") == [torn, SINGLES[0]]


@given(st.lists(st.sampled_from(LINES), min_size=2, max_size=6))
def test_what_is_passed_at_once_holds_nothing_to_join(lines: list[bytes]) -> None:
    """The look at all lines together may be in doubt, but never wrong."""
    rules = Known()
    if rules.nothing_in(lines):
        for first, second in pairwise(lines):
            phase = rules.first(first)
            assert phase is None or rules.then(phase, second) is None


@given(st.text(max_size=60))
def test_any_text_has_a_phase_or_none(text: str) -> None:
    """Nothing makes the expressions fail."""
    line = text.replace("\n", "").encode("utf-8", "surrogatepass")
    rules = Known()
    phase = rules.first(line)
    assert phase is None or rules.then(phase, line) in (None, *_phases())


def _phases() -> set[str]:
    return {phase for block in BLOCKS.values() for phase in _walk(block)} | {"head", "below", "raised", "cpp", "py"}


def _walk(block: str) -> set[str]:
    rules, seen = Known(), set()
    first, *rest = block.encode().split(b"\n")
    phase = rules.first(first)
    for line in rest:
        assert phase is not None, block
        seen.add(phase)
        phase = rules.then(phase, line)
    return seen | ({phase} if phase else set())


PROGRAM = """
import logging, sys, threading, faulthandler
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
log = logging.getLogger("scorer")
log.info("begin")
try:
    try:
        {}["a"]
    except KeyError as error:
        raise RuntimeError("no") from error
except RuntimeError:
    log.exception("prediction failed")
log.info("middle")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
log.info("group")
try:
    raise ExceptionGroup("two", [ValueError("one"), TypeError("two")])
except ExceptionGroup:
    log.exception("grouped")
log.info("%d", "x")
faulthandler.dump_traceback(all_threads=False)
raise SystemExit("end")
"""


def test_what_the_interpreter_really_prints() -> None:
    """A program's own standard error: every failure is one event, every line between them is one."""
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False).stderr
    events = events_of(said)
    assert "\n".join(events) == said.rstrip("\n")
    heads = [event.partition("\n")[0].rpartition(" - ")[2] for event in events]
    assert heads[:6] == [
        "begin",
        "prediction failed",
        "middle",
        "Exception in thread Thread-1 (<lambda>):",
        "group",
        "grouped",
    ]
    assert heads[6] == "--- Logging error ---"
    assert heads[-1] == "end"
    assert events[1].count("Traceback") == 2


HOSTILE = """
from agent.inputs.assembly.grammar import _THEN, Known
from agent.processors.normalise.blocks import read_block
rules, size = Known(), 1 << 20
for piece in (
    "a.", "a", "(", "[", "Error", " ", "\\t", "$", "a.A", "Exception in thread '", 'Exception in thread "',
    "goroutine 1 [", "goroutine 1 [a]", "], thread: [", ": block: [0,0,0], thread: [0,0,0", "main.f(", "  at a.b.c",
    '"', "ERROR ", "a: ",
):
    line = (piece * size)[:size]
    rules.nothing_in([line.encode()] * 2)
    rules.first(line.encode())
    for phase in _THEN:
        rules.then(phase, line.encode())
    for head in ("", "x ERROR y", "Traceback (most recent call last):"):
        read_block(f"{head}\\n{line}\\n{line}", lambda head: {"message": b'""'})
"""


def test_no_line_takes_for_ever() -> None:
    """Lines of a megabyte made of what blocks are known by: the expressions that look at a stranger's lines take time
    in proportion to them. One that did not would take hours here."""
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=120)
