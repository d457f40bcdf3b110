"""``python -m bench``: the whole comparison. ``quick``, ``backlog`` and ``profile`` measure modeltail alone."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from bench import backlog, bounds, machine, profile, records, report
from bench.contenders import CONTENDERS, Contender, Modeltail
from bench.debian import install_rsyslog
from bench.processes import interrupt_on_sigterm
from bench.results import Contestant, Result, Run, Start
from bench.startup import measure_start
from bench.steer import SinkControl, TimeUp, sink
from bench.throughput import measure_run
from bench.trickle import measure_trickle
from bench.workspace import Ended, workspace

MILLION = 1_000_000
ROUNDS = 3
IDLE_SECS = 10.0
TRICKLE_SECS = 20
NAMES = [c.name for c in CONTENDERS]


@click.group(invoke_without_command=True)
@click.option(
    "--records",
    "count",
    default=MILLION,
    show_default=True,
    type=click.IntRange(1, 50 * MILLION),
    help="Records in the file.",
)
@click.option(
    "--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1, 20), help="Times each contender has its turn."
)
@click.option("--only", type=click.Choice(NAMES), help="Measure one contender, without a comparison.")
@click.pass_context
def main(context: click.Context, count: int, rounds: int, only: str | None) -> None:
    """Measure modeltail beside rsyslog, turn by turn, and check what the project promises.

    Ends with status 1 when a promise is broken. A complete run (both contenders, no fewer records or rounds than by
    default) is published: it is written to bench/result.json and into the table of docs/performance.md.
    """
    interrupt_on_sigterm()
    if context.invoked_subcommand is None:
        result = compare([c for c in _present() if only in (None, c.name)], count, rounds)
        click.echo(f"\n{report.table(result)}\n")
        if len(result.contestants) == len(CONTENDERS) and count >= MILLION and rounds >= ROUNDS:
            report.publish(result)
            click.echo("Published in bench/result.json and docs/performance.md.")
        _end(report.judged(bounds.verdicts(result)))


@main.command()
@click.option(
    "--records",
    "count",
    default=200_000,
    show_default=True,
    type=click.IntRange(1, 50 * MILLION),
    help="Records in the file.",
)
def quick(count: int) -> None:
    """One run of modeltail alone: is it faster than before the change?"""
    source = records.cached_file(count)
    with _at_hand() as (tap, folder):
        run = measure_run(Modeltail(), source, count, tap, folder, idle_secs=0)
    ours = Contestant(Modeltail().describe(), [run], [])
    click.echo(report.quick_text(ours))
    if ours.failed:
        _end(("; ".join(ours.failed), False))


@main.command("backlog")
@click.option(
    "--records",
    "count",
    default=backlog.RECORDS,
    show_default=True,
    type=click.IntRange(1, 50 * MILLION),
    help="Records to pile up.",
)
def backlog_command(count: int) -> None:
    """Memory with 5 GB of log and 10,000 dead letters behind a dead server, beside memory without; and a restart."""
    with _at_hand() as (tap, folder):
        found = backlog.measure_backlog(tap, folder, count)
    click.echo(report.backlog_text(found))
    _end(report.judged(bounds.backlog_verdicts(found)))


@main.command("profile")
@click.option(
    "--records",
    "count",
    default=MILLION,
    show_default=True,
    type=click.IntRange(1, 50 * MILLION),
    help="Records in the file.",
)
@click.option("--trickle", "trickling", is_flag=True, help="At a trickle instead.")
def profile_command(count: int, trickling: bool) -> None:
    """Where modeltail's event loop spends its time, by sampling."""
    with _at_hand() as (tap, folder):
        if trickling:
            click.echo(profile.profile_trickle(tap, folder, TRICKLE_SECS))
        else:
            click.echo(profile.profile_file(records.cached_file(count), count, tap, folder))


def compare(contenders: list[Contender], count: int, rounds: int) -> Result:
    """Let the contenders do the job turn by turn, then start them, then let them follow a trickle."""
    source = records.cached_file(count)
    runs: dict[str, list[Run]] = {c.name: [] for c in contenders}
    starts: dict[str, list[Start]] = {c.name: [] for c in contenders}
    with _at_hand() as (tap, folder):
        input_sha256 = records.digest(source)  # reads it all, so that nobody has to fetch it from the disk
        for turn in range(rounds):
            for c in contenders:
                starts[c.name].append(measure_start(c, tap, folder))
                runs[c.name].append(run := measure_run(c, source, count, tap, folder, IDLE_SECS))
                spent = f"{run.cpu_per_million:.2f} CPU-seconds per million, {run.wall_secs:.1f} s"
                _say(f"round {turn + 1}: {c.name}: {spent}{'' if run.exact else ', NOT EXACT'}")
        contestants = {}
        for c in contenders:
            _say(f"trickle: {c.name}")
            contestants[c.name] = Contestant(
                c.describe(), runs[c.name], starts[c.name], measure_trickle(c, tap, folder, TRICKLE_SECS)
            )
        return Result(
            date=time.strftime("%Y-%m-%d", time.gmtime()),
            machine=machine.describe(folder),
            input_records=count,
            input_bytes=source.stat().st_size,
            input_sha256=input_sha256,
            contestants=contestants,
        )


def _present() -> list[Contender]:
    """The contenders that are installed, or can be."""
    for c in CONTENDERS:
        if not c.available():
            _say(f"{c.name} is not installed; trying to get it from Debian")
            if (why := install_rsyslog()) is not None:
                _say(f"measured without {c.name}: {why}")
    return [c for c in CONTENDERS if c.available()]


@contextlib.contextmanager
def _at_hand() -> Iterator[tuple[SinkControl, Path]]:
    """A sink and a folder to work in; what cannot be measured ends the program with a sentence instead of a trace."""
    try:
        with workspace() as folder, sink(folder / "sink.log") as tap:
            yield tap, folder
    except (TimeUp, Ended) as failure:
        raise click.ClickException(str(failure)) from failure


def _say(line: str) -> None:
    click.echo(line, err=True)


def _end(judged: tuple[str, bool]) -> None:
    text, kept = judged
    click.echo(text)
    if not kept:
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m bench")
