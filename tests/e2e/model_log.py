"""A model's log as the standard library writes it: JSON lines, rotated by rename. Run as a process of its own.

    python -m tests.e2e.model_log FILE RECORDS ROTATIONS SECONDS
    python -m tests.e2e.model_log FILE --per-second RATE --rotate-every RECORDS

The first spreads so many records over about ``SECONDS``, so that a test has time to do harm in between. The second
goes on until its standard input is closed, and then says how many records it wrote.
"""

import itertools
import logging
import logging.handlers
import select
import sys
import time
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

STEP = 500
SMALL_STEP = 50
BACKUPS = 100
"""Rotated files an endless log keeps: far more than an agent that is killed again and again falls behind."""


def _logger(handler: logging.Handler) -> logging.Logger:
    handler.setFormatter(JsonFormatter("{asctime}{levelname}{name}{message}", style="{"))
    logger = logging.getLogger("scorer.predict")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return logger


def _serve(logger: logging.Logger, n: int) -> None:
    logger.info("prediction served", extra={"n": n, "inputs": {"amount": n / 100}, "outputs": {"label": "ok"}})


def write(path: Path, records: int, rotations: int, seconds: float) -> None:
    """Write the records, each with its number ``n``."""
    handler = logging.handlers.RotatingFileHandler(path, backupCount=rotations + 1)
    logger = _logger(handler)
    every = records // (rotations + 1) + 1
    began = time.monotonic()
    for n in range(records):
        if n and n % every == 0:
            handler.doRollover()
        _serve(logger, n)
        if n % STEP == 0:
            ahead = began + seconds * n / records - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


def write_until_told(path: Path, per_second: float, rotate_every: int) -> int:
    """Write records until standard input is closed; how many."""
    handler = logging.handlers.RotatingFileHandler(path, backupCount=BACKUPS)
    logger = _logger(handler)
    began = time.monotonic()
    for n in itertools.count():
        if n % SMALL_STEP == 0:
            ahead = began + n / per_second - time.monotonic()
            if select.select([sys.stdin], [], [], max(0.0, ahead))[0]:
                return n
        if n and n % rotate_every == 0:
            handler.doRollover()
        _serve(logger, n)
    raise AssertionError


if __name__ == "__main__":
    if sys.argv[2] == "--per-second":
        print(write_until_told(Path(sys.argv[1]), float(sys.argv[3]), int(sys.argv[5])))
    else:
        write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
