"""A writer at a steady, low rate: what an agent costs a model all day long, and how late its records are."""

import statistics
import time
from bisect import bisect_right
from io import FileIO
from itertools import accumulate
from pathlib import Path

from bench import records
from bench.contenders import Contender
from bench.processes import PeakMemory, cpu
from bench.results import Trickle, percentile
from bench.startup import WITHIN_SECS
from bench.steer import SinkControl, TimeUp
from bench.workspace import AtWork, at_work, folder_bytes

RATE = 1000
"""Records a second, each in a write of its own, as an unbuffered logger does it."""
HELD_SECS = 5
"""How long the sink refuses everything, so that what the queue holds can be weighed."""
CALM_SECS = 2.0
"""Between the first delivery and the measurement: what a start costs is measured elsewhere."""


def measure_trickle(contender: Contender, sink: SinkControl, workspace: Path, for_secs: int) -> Trickle:
    """Write for that long, then for a little longer while the sink refuses.

    The first record starts the contender's delivery and is not measured.

    Raises:
        TimeUp: not even the first record arrived.
    """
    sink.reset()
    source = workspace / "trickle.ndjson"
    count = RATE * for_secs
    writer = records.Writer()
    with source.open("wb", buffering=0) as log:
        log.write(writer.record(time.time()))
        with at_work(contender, source, sink.port, workspace) as worker:
            sink.wait_for(1, WITHIN_SECS, worker.check)
            time.sleep(CALM_SECS)
            peak = PeakMemory(worker.pid)
            before, begun = cpu(worker.pid), time.monotonic()
            written = write_steadily(log, writer, count)
            cpu_percent = (cpu(worker.pid) - before).total / (time.monotonic() - begun) * 100
            peak_bytes = peak.sample()
            try:
                sink.wait_for(count + 1, 10)
            except TimeUp as failure:
                print(f"{contender.name}: {failure}\n{worker.log()}")
            time.sleep(1)
            missing, extra = records.missing_and_extra(count + 1, sink.ids())
            delays = _delays(written, sink)
            per_record = _queued_bytes(worker, sink, log, writer)
    source.unlink()
    return Trickle(
        records=count,
        cpu_percent=round(cpu_percent, 2),
        peak_rss_bytes=peak_bytes,
        median_delay_secs=round(statistics.median(delays), 4) if delays else WITHIN_SECS,
        p99_delay_secs=round(percentile(delays, 0.99), 4) if delays else WITHIN_SECS,
        queue_bytes_per_record=round(per_record, 1),
        missing=missing,
        extra=extra,
    )


def write_steadily(log: FileIO, writer: records.Writer, count: int) -> list[int]:
    """Write records one by one at `RATE`; the time of each write, in nanoseconds since the epoch."""
    written = []
    begun = time.monotonic()
    for i in range(count):
        if (wait := begun + i / RATE - time.monotonic()) > 0:
            time.sleep(wait)
        at_ns = time.time_ns()
        log.write(writer.record(at_ns / 1e9))
        written.append(at_ns)
    return written


def _delays(written: list[int], sink: SinkControl) -> list[float]:
    """Seconds from each record's write to its arrival. Records that never came have none."""
    arrivals = sink.arrivals()
    upto = list(accumulate(n for _, n in arrivals))
    ids = sink.ids()
    place = {ids[i : i + 8]: i // 8 for i in range(0, len(ids), 8)}
    delays = []
    for index, at_ns in enumerate(written, start=1):
        where = place.get(records.request_id(index).encode())
        if where is not None:
            delays.append((arrivals[bisect_right(upto, where)][0] - at_ns) / 1e9)
    return delays


def _queued_bytes(worker: AtWork, sink: SinkControl, log: FileIO, writer: records.Writer) -> float:
    """How much the queue's folder grows for each record that cannot be delivered."""
    before = folder_bytes(worker.queue)
    sink.hold()
    write_steadily(log, writer, RATE * HELD_SECS)
    time.sleep(1)
    grown = folder_bytes(worker.queue) - before
    sink.release()
    return grown / (RATE * HELD_SECS)
