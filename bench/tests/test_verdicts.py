"""From numbers to verdicts and to the document."""

import msgspec
import pytest

from bench import bounds, report
from bench.results import Backlog, Contestant, Machine, Result, Run, Start, Trickle, percentile

MIB = 1024 * 1024
RUN = Run(1_000_000, 2.5, 0.5, 4.0, 60 * MIB, 0.1, 0, 0, 60_000_000, [2.0, 0.5])
TRICKLE = Trickle(20_000, 1.7, 45 * MIB, 0.1, 0.15, 86, 0, 0)
OURS = Contestant("modeltail", [RUN], [Start(0.5, 0.8)], TRICKLE)
RIVAL = Contestant(
    "rsyslog", [msgspec.structs.replace(RUN, user_secs=24.0, system_secs=2.0)], [Start(None, 0.1)], TRICKLE
)


def result(ours: Contestant = OURS) -> Result:
    """A result in which everything is as it should be, unless ``ours`` says otherwise."""
    machine = Machine("a CPU", 2, 24 * 1024**3, "Linux 6.1", "ext4")
    return Result("2026-11-23", machine, 1_000_000, 410_000_000, "0" * 16, {"modeltail": ours, "rsyslog": RIVAL})


def with_run(**changes: object) -> Contestant:
    """Our contestant with another run."""
    return msgspec.structs.replace(OURS, runs=[msgspec.structs.replace(RUN, **changes)])


def with_trickle(**changes: object) -> Contestant:
    """Our contestant with another trickle."""
    return msgspec.structs.replace(OURS, trickle=msgspec.structs.replace(TRICKLE, **changes))


def test_a_good_result_keeps_every_promise() -> None:
    """Nine promises, all kept: each row below breaks exactly one of them."""
    assert [v.promise for v in bounds.verdicts(result()) if not v.kept] == []
    assert len(list(bounds.verdicts(result()))) == 9


@pytest.mark.parametrize(
    ("ours", "broken"),
    [
        (with_run(missing=1), "modeltail: every record"),
        (with_run(extra=1), "modeltail: every record"),
        (with_trickle(extra=1), "modeltail: every record"),
        (with_run(user_secs=2.76), "rsyslog's CPU time"),
        (with_run(peak_rss_bytes=80 * MIB + 1), "peak memory"),
        (with_run(idle_percent=0.51), "CPU when idle"),
        (msgspec.structs.replace(OURS, starts=[Start(1.01, 1.2)]), "ready after"),
        (with_trickle(cpu_percent=2.01), "CPU at a trickle"),
        (with_trickle(median_delay_secs=0.201), "median delay"),
        (with_trickle(peak_rss_bytes=50 * MIB + 1), "peak memory at a trickle"),
    ],
)
def test_a_broken_promise_is_named(ours: Contestant, broken: str) -> None:
    """One number just over its bound breaks its promise and no other."""
    found = [v.promise for v in bounds.verdicts(result(ours)) if not v.kept]
    assert len(found) == 1
    assert found[0].startswith(broken)
    assert report.judged(bounds.verdicts(result(ours)))[1] is False


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({}, 0),
        ({"queued_rss_bytes": 61 * MIB}, 1),
        ({"restarted_rss_bytes": 61 * MIB}, 1),
        ({"draining_peak_rss_bytes": 71 * MIB}, 1),
        ({"filling_peak_rss_bytes": 81 * MIB}, 2),
        ({"missing": 1}, 1),
    ],
    ids=["kept", "queued", "restarted", "draining", "much", "lost"],
)
def test_memory_may_not_follow_the_backlog(changed: dict[str, int], broken: int) -> None:
    """The same with a backlog as without, now and at the peak, and within the bound either way."""
    backlog = Backlog(
        records=1000,
        input_bytes=400_000,
        queue_bytes=90_000,
        dead_letters=10,
        queued_rss_bytes=58 * MIB,
        restarted_rss_bytes=52 * MIB,
        without_rss_bytes=50 * MIB,
        filling_peak_rss_bytes=60 * MIB,
        draining_peak_rss_bytes=64 * MIB,
        without_peak_rss_bytes=60 * MIB,
        restart_secs=0.5,
        drain_secs=3.0,
        missing=0,
        extra=0,
    )
    found = bounds.backlog_verdicts(msgspec.structs.replace(backlog, **changed))
    assert sum(not v.kept for v in found) == broken


def test_the_table_shows_both_and_the_document_keeps_its_prose() -> None:
    """Only what stands between the markers is replaced, again and again."""
    document = f"# Title\n\nProse.\n\n{report.BEGIN}\nold\n{report.END}\n\nMore.\n"
    once = report.fill_in(document, report.section(result()))
    assert once.startswith("# Title\n\nProse.\n")
    assert once.endswith("\n\nMore.\n")
    assert "| CPU-seconds per million records | 3.00 | 26.00 |" in once
    assert "old" not in once
    assert report.fill_in(once, report.section(result())) == once


def test_the_document_says_which_promise_was_broken() -> None:
    """A published run that fell short says so."""
    assert "| CPU when idle at most 0.5 % | 0.10 % | yes |" in report.section(result())
    assert "| CPU when idle at most 0.5 % | 0.90 % | **no** |" in report.section(result(with_run(idle_percent=0.9)))


def test_a_document_without_markers_is_not_touched() -> None:
    """Better no table than one at the wrong place."""
    with pytest.raises(ValueError, match="no markers"):
        report.fill_in("# Title\n", "text")


def test_the_published_result_is_what_the_document_shows() -> None:
    """Numbers in the document come from the result that lies beside the benchmark."""
    if not report.RESULT_FILE.exists():
        pytest.skip("no result has been published yet")
    published = msgspec.json.decode(report.RESULT_FILE.read_bytes(), type=Result)
    document = report.DOCUMENT.read_text()
    assert report.fill_in(document, report.section(published)) == document


@pytest.mark.parametrize(("fraction", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_percentiles_are_values_that_occurred(fraction: float, value: int) -> None:
    """Nearest rank, of a hundred values."""
    assert percentile(list(range(100, 0, -1)), fraction) == value
