"""Feeds of the inputs `file` and `stdin`: the inference records of the other benchmarks."""

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
)
