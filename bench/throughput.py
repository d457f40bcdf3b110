"""The whole file, as fast as it goes: CPU, wall time, memory, and what is used once there is nothing left to do."""

import time
from pathlib import Path

from bench import records
from bench.contenders import Contender
from bench.processes import PeakMemory, cpu, threads
from bench.results import Run
from bench.steer import SinkControl, TimeUp
from bench.workspace import at_work

SETTLE_SECS = 1.5
"""Between the last delivery and reading the CPU time: cursors, answers and freed segments belong to the job."""

MAX_SECS_PER_MILLION = 240.0


def measure_run(
    contender: Contender, source: Path, count: int, sink: SinkControl, workspace: Path, idle_secs: float
) -> Run:
    """Let a contender do the whole file once. A run that does not end in time is one with records missing."""
    sink.reset()
    with at_work(contender, source, sink.port, workspace) as worker:
        peak = PeakMemory(worker.pid)

        def look() -> None:
            peak.sample()
            worker.check()

        try:
            sink.wait_for(count, 30 + MAX_SECS_PER_MILLION * count / 1e6, look)
        except TimeUp as failure:
            print(f"{contender.name}: {failure}\n{worker.log()}")
            idle_secs = 0
        wall_secs = time.monotonic() - worker.begun
        time.sleep(SETTLE_SECS)
        used = cpu(worker.pid)
        by_thread = [secs for _, secs in threads(worker.pid) if secs >= 0.01]
        idle = idle_percent(worker.pid, idle_secs) if idle_secs else 0.0
        # The ids are asked for last, so that a record that came again while all was quiet is seen as well.
        missing, extra = records.missing_and_extra(count, sink.ids())
        return Run(
            records=count,
            user_secs=round(used.user, 2),
            system_secs=round(used.system, 2),
            wall_secs=round(wall_secs, 2),
            peak_rss_bytes=peak.sample(),
            idle_percent=round(idle, 3),
            missing=missing,
            extra=extra,
            body_bytes=sink.counts()["body_bytes"],
            threads_secs=by_thread,
        )


def idle_percent(pid: int, for_secs: float) -> float:
    """CPU used while nothing happens, in per cent of one core."""
    before = cpu(pid)
    begun = time.monotonic()
    time.sleep(for_secs)
    return (cpu(pid) - before).total / (time.monotonic() - begun) * 100
