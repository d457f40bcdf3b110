"""What the project promises of its speed and weight, and whether a result keeps it."""

import statistics
from collections.abc import Iterator

import msgspec

from bench.results import Backlog, Contestant, Result

MIB = 1024 * 1024

CPU_RATIO = 8.0
"""modeltail takes at most one eighth of rsyslog's CPU time."""
PEAK_RSS_BYTES = 80 * MIB
IDLE_PERCENT = 0.5
READY_SECS = 1.0
TRICKLE_CPU_PERCENT = 2.0
TRICKLE_DELAY_SECS = 0.2
TRICKLE_RSS_BYTES = 50 * MIB
BACKLOG_RSS_BYTES = 10 * MIB
"""What memory with a backlog may be above memory without: nothing, as far as two runs of one program can be alike."""


class Verdict(msgspec.Struct, frozen=True):
    """One promise and whether it was kept."""

    promise: str
    measured: str
    kept: bool


def _at_most(promise: str, value: float, limit: float, unit: str, digits: int = 1) -> Verdict:
    return Verdict(f"{promise} at most {limit:g}{unit}", f"{value:.{digits}f}{unit}", value <= limit)


def verdicts(result: Result) -> Iterator[Verdict]:
    """Every promise that the result has numbers for."""
    for name, contestant in result.contestants.items():
        measured = "; ".join(contestant.failed) or "exactly that"
        yield Verdict(f"{name}: every record arrives, each once", measured, not contestant.failed)
    ours = result.contestants.get("modeltail")
    if ours is None:
        return
    rival = result.contestants.get("rsyslog")
    if rival is not None and rival.runs and ours.runs:
        ratio = cpu(rival) / cpu(ours)
        yield Verdict(
            f"rsyslog's CPU time is at least {CPU_RATIO:g} times ours", f"{ratio:.1f} times", ratio >= CPU_RATIO
        )
    if ours.runs:
        yield _at_most("peak memory", max(r.peak_rss_bytes for r in ours.runs) / MIB, PEAK_RSS_BYTES / MIB, " MiB")
        yield _at_most("CPU when idle", ours.median(lambda r: r.idle_percent), IDLE_PERCENT, " %", 2)
    ready = [s.ready_secs for s in ours.starts if s.ready_secs is not None]
    if ready:
        yield _at_most("ready after", statistics.median(ready), READY_SECS, " s", 2)
    if ours.trickle:
        yield _at_most("CPU at a trickle", ours.trickle.cpu_percent, TRICKLE_CPU_PERCENT, " %", 2)
        yield _at_most("median delay at a trickle", ours.trickle.median_delay_secs, TRICKLE_DELAY_SECS, " s", 3)
        yield _at_most("peak memory at a trickle", ours.trickle.peak_rss_bytes / MIB, TRICKLE_RSS_BYTES / MIB, " MiB")


def backlog_verdicts(backlog: Backlog) -> Iterator[Verdict]:
    """The promises about a backlog."""
    exact = not (backlog.missing or backlog.extra)
    yield Verdict(
        "every record arrives, each once",
        f"{backlog.missing} missing, {backlog.extra} too many" if not exact else "exactly that",
        exact,
    )
    with_backlog = max(backlog.filling_peak_rss_bytes, backlog.draining_peak_rss_bytes)
    yield _at_most("peak memory", with_backlog / MIB, PEAK_RSS_BYTES / MIB, " MiB")
    for promise, held, without in (
        ("memory with everything queued, above memory without", backlog.queued_rss_bytes, backlog.without_rss_bytes),
        ("memory after a start on the full queue, likewise", backlog.restarted_rss_bytes, backlog.without_rss_bytes),
        ("peak memory with a backlog, above peak memory without", with_backlog, backlog.without_peak_rss_bytes),
    ):
        yield _at_most(promise, (held - without) / MIB, BACKLOG_RSS_BYTES / MIB, " MiB")


def cpu(contestant: Contestant) -> float:
    """Median CPU-seconds per million records."""
    return contestant.median(lambda r: r.cpu_per_million)
