"""Memory with a backlog: a small form of ``python -m bench backlog``, which measures 5 GB of log."""

from pathlib import Path

from bench import backlog, bounds
from bench.report import backlog_text
from bench.steer import sink

RECORDS = 730_000
"""About 300 MB of log."""


def test_memory_does_not_follow_the_backlog(tmp_path: Path) -> None:
    """With everything queued behind a dead server and 10,000 dead letters, after another start on that queue, and
    until it is drained, the agent needs within 10 MiB of what it needs with an empty queue."""
    with sink(tmp_path / "sink.log") as tap:
        found = backlog.measure_backlog(tap, tmp_path, RECORDS)
    print(backlog_text(found))
    assert [v for v in bounds.backlog_verdicts(found) if not v.kept] == []
