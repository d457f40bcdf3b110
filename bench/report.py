"""A result as people read it, and where the published one lies."""

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from bench.bounds import MIB, Verdict, cpu, verdicts
from bench.results import Backlog, Contestant, Result

RESULT_FILE = Path(__file__).parent / "result.json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN = "<!-- bench: begin. Written by `make bench`; do not edit. -->"
END = "<!-- bench: end -->"

Row = tuple[str, Callable[[Contestant], str]]

_ROWS: tuple[Row, ...] = (
    ("CPU-seconds per million records", lambda c: f"{cpu(c):.2f}"),
    ("… of these in the kernel", lambda c: f"{c.median(lambda r: r.system_secs * 1e6 / r.records):.2f}"),
    ("wall time for the file, s", lambda c: f"{c.median(lambda r: r.wall_secs):.1f}"),
    ("peak memory, MiB", lambda c: f"{c.median(lambda r: r.peak_rss_bytes) / MIB:.0f}"),
    ("CPU when idle, % of a core", lambda c: f"{c.median(lambda r: r.idle_percent):.2f}"),
    ("bytes posted per record", lambda c: f"{c.median(lambda r: r.body_bytes / r.records):.0f}"),
    ("ready after, s", lambda c: _median(s.ready_secs for s in c.starts)),
    ("first record delivered after, s", lambda c: _median(s.first_record_secs for s in c.starts)),
    ("trickle: CPU, % of a core", lambda c: f"{c.trickle.cpu_percent:.1f}" if c.trickle else "-"),
    ("trickle: delay, median, s", lambda c: f"{c.trickle.median_delay_secs:.3f}" if c.trickle else "-"),
    ("trickle: delay, 99 % of records, s", lambda c: f"{c.trickle.p99_delay_secs:.3f}" if c.trickle else "-"),
    (
        "trickle: queue on disk, bytes per record",
        lambda c: f"{c.trickle.queue_bytes_per_record:.0f}" if c.trickle else "-",
    ),
    ("trickle: peak memory, MiB", lambda c: f"{c.trickle.peak_rss_bytes / MIB:.0f}" if c.trickle else "-"),
)


def _median(values: Iterable[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{statistics.median(known):.2f}" if known else "-"


def table(result: Result) -> str:
    """The result as a Markdown table, one column per contender."""
    names = list(result.contestants)
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    lines += [f"| {label} | {' | '.join(show(c) for c in result.contestants.values())} |" for label, show in _ROWS]
    return "\n".join(lines)


def section(result: Result) -> str:
    """What stands between the markers of the document."""
    m = result.machine
    rounds = max(len(c.runs) for c in result.contestants.values())
    who = "; ".join(c.description for c in result.contestants.values())
    what = (
        f"Measured {result.date}: {result.input_records:,} records of "
        f"{result.input_bytes / result.input_records:.0f} bytes, medians of {rounds}, "
        f"on {m.cores} cores ({m.cpu}), {m.memory_bytes / 1024**3:.0f} GiB of memory, {m.kernel}, "
        f"queues on {m.filesystem}. {who}."
    )
    promises = [f"| {v.promise} | {v.measured} | {'yes' if v.kept else '**no**'} |" for v in verdicts(result)]
    return "\n".join([what, "", table(result), "", "| promise | measured | kept |", "| --- | --- | --- |", *promises])


def fill_in(document: str, text: str) -> str:
    """The document with what stands between its markers replaced.

    Raises:
        ValueError: a marker is missing.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has no markers for the benchmark's table")
    return f"{head}{begin}\n{text}\n{end}{tail}"


def publish(result: Result) -> None:
    """Make a result the published one: the JSON, and the table in the document."""
    RESULT_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    DOCUMENT.write_text(fill_in(DOCUMENT.read_text(), section(result)))


def judged(found: Iterable[Verdict]) -> tuple[str, bool]:
    """The promises as lines, and whether all were kept."""
    seen = list(found)
    lines = [f"{'kept  ' if v.kept else 'BROKEN'}  {v.promise}: {v.measured}" for v in seen]
    return "\n".join(lines), all(v.kept for v in seen)


def backlog_text(b: Backlog) -> str:
    """A backlog's numbers in a few lines."""
    return (
        f"{b.records:,} records, {b.input_bytes / 1e9:.2f} GB of log, {b.queue_bytes / 1e6:.0f} MB in the queue "
        f"({b.queue_bytes / b.records:.0f} bytes per record, {b.dead_letters:,} dead letters included); "
        f"ready again on it after {b.restart_secs:.2f} s, drained in {b.drain_secs:.0f} s\n"
        f"memory: {b.queued_rss_bytes / MIB:.1f} MiB with everything queued, "
        f"{b.restarted_rss_bytes / MIB:.1f} MiB after another start, "
        f"{b.without_rss_bytes / MIB:.1f} MiB with an empty queue\n"
        f"peak memory: {b.filling_peak_rss_bytes / MIB:.1f} MiB while it grew, "
        f"{b.draining_peak_rss_bytes / MIB:.1f} MiB until it was drained, "
        f"{b.without_peak_rss_bytes / MIB:.1f} MiB without a backlog"
    )


def quick_text(contestant: Contestant) -> str:
    """One run in a few lines, with a hint where the time goes."""
    run = contestant.runs[-1]
    per_record = 1e6 / run.records
    busiest = ", ".join(f"{secs * per_record:.2f}" for secs in run.threads_secs)
    return (
        f"CPU {run.cpu_per_million:.2f} s per million records = µs per record "
        f"({run.user_secs * per_record:.2f} user, {run.system_secs * per_record:.2f} kernel)\n"
        f"by thread, the event loop's first unless something else is busier: {busiest}\n"
        f"wall {run.wall_secs:.2f} s, peak memory {run.peak_rss_bytes / MIB:.1f} MiB, "
        f"{run.body_bytes / run.records:.0f} bytes posted per record\n"
        "where in the program: python -m bench profile"
    )
