"""How soon after its start a contender is ready, and has delivered what was waiting."""

import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.contenders import Contender
from bench.records import blocks
from bench.results import Start
from bench.steer import SinkControl
from bench.workspace import at_work

WITHIN_SECS = 30.0
_LOOK_SECS = 0.01


def measure_start(contender: Contender, sink: SinkControl, workspace: Path) -> Start:
    """Start a contender on a file with one record.

    Raises:
        TimeUp: the record did not arrive.
    """
    sink.reset()
    source = workspace / "one.ndjson"
    source.write_bytes(b"".join(blocks(1)))
    ready: float | None = None
    with at_work(contender, source, sink.port, workspace) as worker:

        def look() -> None:
            nonlocal ready
            worker.check()
            if ready is None and contender.ready_path and get(worker.job.status_port, contender.ready_path) is not None:
                ready = time.monotonic() - worker.begun

        sink.wait_for(1, WITHIN_SECS, look)
        first = time.monotonic() - worker.begun
        while ready is None and contender.ready_path and time.monotonic() - worker.begun < WITHIN_SECS:
            look()
            time.sleep(_LOOK_SECS)
    return Start(ready_secs=None if ready is None else round(ready, 3), first_record_secs=round(first, 3))


def get(port: int, path: str) -> bytes | None:
    """What a GET answers with 200; None for every other answer, and for none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
