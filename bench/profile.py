"""Where modeltail's event loop spends its time on the benchmark's file."""

import json
from pathlib import Path

from bench.contenders import Job, Modeltail
from bench.processes import cpu
from bench.steer import SinkControl
from bench.trickle import CALM_SECS, HELD_SECS, RATE, measure_trickle
from bench.workspace import at_work

SHOWN = 40


class Sampled(Modeltail):
    """modeltail under the sampler, which writes what it saw ``after_secs`` from the start to ``out``."""

    def __init__(self, out: Path, after_secs: float) -> None:
        self._out = out
        self._after_secs = after_secs

    def command(self, job: Job) -> list[str]:
        """See `Contender.command`."""
        python, _, _, *arguments = super().command(job)
        return [python, "-m", "bench.sampler", str(self._out), str(self._after_secs), *arguments]


def profile_file(source: Path, count: int, sink: SinkControl, workspace: Path) -> str:
    """Do the file once; the busiest lines, and functions with all they call, in µs per record.

    Raises:
        TimeUp: the records did not arrive.
        Ended: the agent ended by itself.
    """
    out = workspace / "samples.json"
    sink.reset()
    with at_work(Sampled(out, 0), source, sink.port, workspace) as worker:
        sink.wait_for(count, 30 + 120 * count / 1e6, worker.check)
        total = cpu(worker.pid).total
    spent = f"{total * 1e6 / count:.2f} µs of CPU per record in all threads, the sampler's own included"
    return f"{spent}\n{_busiest(out, count)}"


def profile_trickle(sink: SinkControl, workspace: Path, for_secs: int) -> str:
    """The same for a trickle, without the start, and with the seconds in which the sink refuses.

    Raises:
        TimeUp: the records did not arrive.
        Ended: the agent ended by itself.
    """
    out = workspace / "samples.json"
    found = measure_trickle(Sampled(out, CALM_SECS), sink, workspace, for_secs)
    spent = f"{found.cpu_percent:.2f} % of a core, the sampler's own included"
    return f"{spent}\n{_busiest(out, RATE * (for_secs + HELD_SECS))}"


def _busiest(out: Path, count: int) -> str:
    """What the sampler saw, as text. A sampler that was killed has written nothing."""
    if not out.exists():
        return "the sampler wrote nothing: the agent did not stop in time"
    found = json.loads(out.read_text())
    parts = []
    for kind, title in (("lines", "line"), ("functions", "function, with what it calls")):
        parts.append(f"\n  µs  {title}")
        parts += [f"{secs * 1e6 / count:6.2f}  {where}" for where, secs in found[kind][:SHOWN]]
    return "\n".join(parts)
