"""A model's log as the standard library writes it: JSON lines, rotated by rename at given records. Run as a process of
its own.

    python -m tests.e2e.model_log FILE RECORDS ROTATIONS SECONDS

Spreads the records over about ``SECONDS``, so that a test has time to do harm in between.
"""

import logging
import logging.handlers
import sys
import time
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

STEP = 500


def write(path: Path, records: int, rotations: int, seconds: float) -> None:
    """Write the records, each with its number ``n``."""
    handler = logging.handlers.RotatingFileHandler(path, backupCount=rotations + 1)
    handler.setFormatter(JsonFormatter("{asctime}{levelname}{name}{message}", style="{"))
    logger = logging.getLogger("scorer.predict")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    every = records // (rotations + 1) + 1
    began = time.monotonic()
    for n in range(records):
        if n and n % every == 0:
            handler.doRollover()
        logger.info("prediction served", extra={"n": n, "inputs": {"amount": n / 100}, "outputs": {"label": "ok"}})
        if n % STEP == 0:
            ahead = began + seconds * n / records - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
