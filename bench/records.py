"""The log a benchmark tails: inference records as a scoring service writes them, about 410 bytes each.

Deterministic: the same count gives the same bytes on every machine, so that runs can be compared. Every record has a
``request_id`` of eight hexadecimal digits that no other record has; the sink collects them, and ``missing_and_extra``
says what was lost or doubled.
"""

import hashlib
import os
import random
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

SEED = 20_261_122
VERSION = 2
"""Part of the cached file's name: raise it when the records change."""

_START_SECS = 1_795_341_600
"""The first record's time, 2026-11-22T10:00:00Z. Records follow one another by about a millisecond."""

_ID_STEP = 0x9E3779B1
"""Odd, so that multiplying by it permutes the 32-bit numbers: ids look random and never repeat."""

_COUNTRIES = ("FR", "DE", "US", "GB", "ES", "IT", "NL", "SE", "PL", "PT")
_DEVICES = ("ios", "android", "web", "pos")
_LABELS = ("ok", "ok", "ok", "ok", "ok", "review", "fraud")
_TRACEBACK = (
    'Traceback (most recent call last):\\n  File \\"/srv/scorer/predict.py\\", line 88, in predict\\n'
    "    score = model(features)\\nValueError: shapes (3,4) and (5,) not aligned"
)


def request_id(index: int) -> str:
    """The id of record ``index``: eight hexadecimal digits, different for every index below 2**32."""
    return f"{index * _ID_STEP & 0xFFFF_FFFF:08x}"


class Writer:
    """Makes records one after the other. The same seed gives the same records, whatever times they carry."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self._index = 0

    def record(self, epoch_secs: float) -> bytes:
        """The next record, written at ``epoch_secs``, as a line with its newline."""
        draw = self._random.random
        pick = int(draw() * 1_000_000)
        index = self._index
        self._index += 1
        whole = int(epoch_secs)
        stamp = f"{_date(whole)}.{int((epoch_secs - whole) * 1e6):06d}Z"
        level, message, tail = "INFO", "prediction served", ""
        if pick % 100 < 2:
            level, message = "WARNING", "prediction served late"
            if pick % 100 == 0 and pick % 1000 < 200:
                level, message, tail = "ERROR", "prediction failed", f', "exc_info": "{_TRACEBACK}"'
        line = (
            f'{{"timestamp": "{stamp}", "level": "{level}", "logger": "scorer.predict", "message": "{message}", '
            f'"request_id": "{request_id(index)}", '
            f'"inputs": {{"amount": {draw() * 900:.2f}, "country": "{_COUNTRIES[pick % 10]}", '
            f'"device": "{_DEVICES[pick % 4]}", "merchant": "m-{pick % 5000:04d}", '
            f'"age_days": {int(draw() * 3000)}, "velocity": {draw():.4f}}}, '
            f'"outputs": {{"label": "{_LABELS[pick % 7]}", "score": {draw():.6f}}}, '
            f'"metrics": {{"confidence": {draw():.4f}, "drift": {draw() / 10:.5f}}}, '
            f'"latency_ms": {draw() * 60:.3f}, "batch_size": {1 << pick % 4}{tail}}}\n'
        )
        return line.encode("ascii")


_dates: dict[int, str] = {}


def _date(epoch_secs: int) -> str:
    """``2026-11-22T10:00:00`` for a whole second; the last one asked for is remembered."""
    text = _dates.get(epoch_secs)
    if text is None:
        _dates.clear()
        text = _dates[epoch_secs] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_secs))
    return text


def blocks(count: int) -> Iterator[bytes]:
    """The first ``count`` records of the file, in blocks of at most 4,096."""
    writer = Writer()
    for start in range(0, count, 4096):
        yield b"".join(writer.record(_START_SECS + i * 0.001) for i in range(start, min(start + 4096, count)))


def cache_folder() -> Path:
    """Where generated input is kept between runs: outside the work tree, under the user's cache folder."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modeltail" / "bench"
    root.mkdir(parents=True, exist_ok=True)
    return root


def write_file(path: Path, count: int) -> None:
    """Write the file of ``count`` records."""
    with path.open("wb") as file:
        for block in blocks(count):
            file.write(block)


def cached_file(count: int) -> Path:
    """The file of ``count`` records, generated unless it is cached. Generation broken off leaves no such file."""
    path = cache_folder() / f"inference-v{VERSION}-{count}.ndjson"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        try:
            write_file(unfinished, count)
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file, shortened: lets two results tell whether they read the same input."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def missing_and_extra(count: int, received: bytes) -> tuple[int, int]:
    """What was lost and what came twice, or from nowhere. ``received`` is the ids of all received records, joined."""
    got = array("Q", received)
    expected = array("Q", "".join(map(request_id, range(count))).encode("ascii"))
    distinct = set(got)
    known = len(distinct.intersection(expected))
    return count - known, len(got) - known
