"""A dead server and a log that goes on: memory must not follow the backlog."""

import json
import time
from pathlib import Path

from bench import records
from bench.contenders import Modeltail
from bench.processes import PeakMemory
from bench.results import Backlog
from bench.startup import get
from bench.steer import SinkControl, TimeUp
from bench.workspace import AtWork, at_work, folder_bytes

RECORDS = 5_200_000
"""About 2 GB of log."""
SECS_PER_MILLION = 60.0
"""A limit for filling and draining; far more than is needed."""


def measure_backlog(sink: SinkControl, workspace: Path, count: int) -> Backlog:
    """Fill the queue while the sink refuses everything, let it drain; then the same records with a sink that accepts.

    Raises:
        TimeUp: the records did not arrive.
    """
    source = workspace / "backlog.ndjson"
    records.write_file(source, count)
    sink.reset()
    sink.hold()
    with at_work(Modeltail(), source, sink.port, workspace) as worker:
        peak = PeakMemory(worker.pid)
        _fill(worker, peak, count)
        filling, queue_bytes = peak.sample(), folder_bytes(worker.queue)
        sink.release()
        begun = time.monotonic()
        _drain(worker, sink, peak, count)
        drain_secs = time.monotonic() - begun
        draining = peak.sample()
        missing, extra = records.missing_and_extra(count, sink.ids())
    sink.reset()
    with at_work(Modeltail(), source, sink.port, workspace) as worker:
        peak = PeakMemory(worker.pid)
        _drain(worker, sink, peak, count)
        without = peak.sample()
    return Backlog(
        records=count,
        input_bytes=source.stat().st_size,
        queue_bytes=queue_bytes,
        filling_peak_rss_bytes=filling,
        draining_peak_rss_bytes=draining,
        without_peak_rss_bytes=without,
        drain_secs=round(drain_secs, 1),
        missing=missing,
        extra=extra,
    )


def _fill(worker: AtWork, peak: PeakMemory, count: int) -> None:
    """Wait until all records are in the queue, by the agent's own ledger."""
    end = time.monotonic() + 30 + SECS_PER_MILLION * count / 1e6
    while (appended := _appended(worker.job.status_port)) < count:
        if time.monotonic() > end:
            raise TimeUp(f"{appended} of {count} records are in the queue")
        worker.check()
        peak.sample()
        time.sleep(0.5)


def _appended(status_port: int) -> int:
    """How many records the queue has been given; 0 while nobody answers."""
    try:
        return int(json.loads(get(status_port, "/ledger") or b"{}").get("appended", 0))
    except ValueError:
        return 0


def _drain(worker: AtWork, sink: SinkControl, peak: PeakMemory, count: int) -> None:
    """Wait until the sink has all records."""

    def look() -> None:
        worker.check()
        peak.sample()

    sink.wait_for(count, 60 + SECS_PER_MILLION * count / 1e6, look)
