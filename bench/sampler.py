"""Runs the agent and notes where its event loop is, every few milliseconds of CPU time.

``python -m bench.sampler OUT AFTER_SECS run -c FILE`` runs ``python -m agent run -c FILE``. Each sample counts as much
as the main thread worked since the last one, so that what other threads use (compression, the disk) is not laid at its
door. A call into C belongs to the line that made it.
"""

import json
import os
import runpy
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

INTERVAL_SECS = 0.002


class Samples:
    """CPU-seconds of the main thread by line, and by function with all it calls."""

    def __init__(self, after_secs: float) -> None:
        self.lines: defaultdict[str, float] = defaultdict(float)
        self.functions: defaultdict[str, float] = defaultdict(float)
        self._last = time.thread_time()
        self._begin = time.monotonic() + after_secs

    def take(self, _: int, frame: FrameType | None) -> None:
        """A signal handler: it runs in the main thread."""
        now = time.thread_time()
        worked, self._last = now - self._last, now
        if time.monotonic() < self._begin:
            return
        if frame is not None:
            self.lines[f"{_short(frame)}:{frame.f_lineno} {frame.f_code.co_qualname}"] += worked
        seen = set()
        while frame is not None:
            seen.add(f"{_short(frame)} {frame.f_code.co_qualname}")
            frame = frame.f_back
        for function in seen:
            self.functions[function] += worked


def _short(frame: FrameType) -> str:
    """The last two parts of the file's path."""
    return "/".join(frame.f_code.co_filename.split(os.sep)[-2:])


def main() -> None:
    """Run the agent with the arguments behind the first two; write what was seen when it ends."""
    out, after_secs = Path(sys.argv[1]), float(sys.argv[2])
    sys.argv[:3] = ["agent"]
    samples = Samples(after_secs)
    signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECS, INTERVAL_SECS)
    try:
        runpy.run_module("agent", run_name="__main__", alter_sys=True)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        out.write_text(json.dumps({"lines": busiest(samples.lines), "functions": busiest(samples.functions)}))


def busiest(seconds: dict[str, float]) -> list[tuple[str, float]]:
    """The 60 places with most seconds, most first."""
    return sorted(seconds.items(), key=lambda place: -place[1])[:60]


if __name__ == "__main__":
    main()
