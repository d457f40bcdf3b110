"""Log files as programs nobody here wrote make them. Run as a process of its own.

    python -m tests.e2e.log_writers KIND FILE PER_SECOND RECORDS

Each record's message ends in its number. It ends after ``RECORDS``, or when its standard input is closed, and says how
many it wrote.
"""

import logging
import logging.handlers
import select
import sys
import time
from collections.abc import Callable

STEP = 50
ROTATE_BYTES = 300_000
BACKUPS = 200

Write = Callable[[int], None]


def _standard(handler: logging.Handler, formatter: logging.Formatter) -> Write:
    handler.setFormatter(formatter)
    logger = logging.getLogger("scorer")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return lambda n: logger.info("prediction served %d", n, extra={"amount": n / 100})


def json_logger(path: str) -> Write:
    """python-json-logger on the standard library's rotation by size."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.handlers.RotatingFileHandler(path, maxBytes=ROTATE_BYTES, backupCount=BACKUPS)
    return _standard(handler, JsonFormatter("{asctime}{levelname}{name}{message}", style="{"))


def ecs_logging(path: str) -> Write:
    """ecs-logging on the standard library's rotation by time, each second."""
    from ecs_logging import StdlibFormatter

    return _standard(logging.handlers.TimedRotatingFileHandler(path, when="S", backupCount=BACKUPS), StdlibFormatter())


def structlog(path: str) -> Write:
    """Structlog, which writes to an open file and leaves rotation to others."""
    import structlog

    log = structlog.wrap_logger(
        structlog.PrintLogger(open(path, "a", buffering=1)),  # noqa: SIM115 - held as long as the process
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
    )
    return lambda n: log.info(f"prediction served {n}", amount=n / 100)


def loguru(path: str) -> Write:
    """Loguru's JSON with its own rotation, which puts the time before the ending."""
    from loguru import logger

    logger.remove()
    logger.add(path, serialize=True, rotation=ROTATE_BYTES)
    return lambda n: logger.info(f"prediction served {n}")


def watched(path: str) -> Write:
    """The standard library's handler for files that logrotate renames."""
    return _standard(
        logging.handlers.WatchedFileHandler(path), logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )


def append(path: str) -> Write:
    """An open file in append mode, for copytruncate."""
    return _standard(logging.FileHandler(path, "a"), logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


def overwrite(path: str) -> Write:
    """An open file not in append mode, as a shell's redirection makes it."""
    return _standard(logging.FileHandler(path, "w"), logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


KINDS: dict[str, Callable[[str], Write]] = {
    kind.__name__: kind for kind in (json_logger, ecs_logging, structlog, loguru, watched, append, overwrite)
}


def main(kind: str, path: str, per_second: float, records: int) -> int:
    """Write at about this rate."""
    write = KINDS[kind](path)
    began = time.monotonic()
    for n in range(records):
        if n % STEP == 0:
            ahead = began + n / per_second - time.monotonic()
            if select.select([sys.stdin], [], [], max(0.0, ahead))[0]:
                return n
        write(n)
    return records


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
