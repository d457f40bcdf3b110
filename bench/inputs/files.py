"""Feeds of the inputs `file`, `stdin` and `exec`: the inference records of the other benchmarks."""

import time
from functools import lru_cache
from pathlib import Path

from bench.inputs.feed import Feed
from bench.records import Writer

START_SECS = 1_795_341_600
_CHUNK = 1000


@lru_cache(maxsize=1)
def lines(count: int) -> list[bytes]:
    """So many records, each with its newline."""
    writer = Writer()
    return [writer.record(START_SECS + i / 1000) for i in range(count)]


def _append(path: Path, count: int) -> int:
    made = lines(count)
    with path.open("ab", buffering=0) as log:
        for i in range(0, count, _CHUNK):
            written = b"".join(made[i : i + _CHUNK])
            while written:
                written = written[log.write(written) :]
    return count


def _say(folder: str, count: int) -> int:
    """Have the model write them: it passes on what it reads."""
    pipe = Path(folder) / "pipe"
    while not pipe.exists():
        time.sleep(0.01)
    return _append(pipe, count)


FEEDS: tuple[Feed, ...] = (
    Feed(
        "file",
        500_000,
        {"type": "file", "paths": ["{folder}/*.log"]},
        lambda folder, count: _append(Path(folder) / "model.log", count),
        prepare=lines,
    ),
    Feed(
        "stdin",
        500_000,
        {"type": "stdin", "on_full": "block"},
        lambda pipe, count: _append(Path(pipe), count),
        piped=True,
        prepare=lines,
    ),
    Feed(
        "exec",
        500_000,
        {"type": "exec", "on_full": "block"},
        _say,
        prepare=lines,
        model=("sh", "-c", "mkfifo {folder}/pipe && cat {folder}/pipe && exec sleep 600"),
    ),
)
