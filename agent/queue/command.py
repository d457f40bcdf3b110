"""The command ``modeltail queue``: look at a queue, get out what is in it, mend it."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent.config.option import config_option, queue_option
from agent.errors import QueueError
from agent.queue.cursor import PREFIX
from agent.queue.disk import RealDisk
from agent.queue.lock import alone
from agent.queue.queue import LOCK
from agent.queue.segment import SUFFIX
from agent.queue.wording import counted, plain, readable_size

if TYPE_CHECKING:
    from agent.config.root import AgentConfig
    from agent.outputs import OutputConfig
    from agent.queue.cursor import Cursor
    from agent.queue.span import Span
    from agent.queue.verify import Finding
    from agent.queue.walk import Entered

DONE: Final = 0
UNUSABLE: Final = 1
NOT_ALL_IS_WELL: Final = 2

_TIME = "how long ago (90s, 15m, 1h30m, 7d), or a date or time (2026-11-22T10:00Z)"


@click.group("queue")
def queue_command() -> None:
    """Look at the queue on disk, get out what is in it, mend it.

    `status`, `verify`, `export` and `replay` only read, and work while the agent runs and when it does not. `repair`
    and `forget` need the agent to be stopped.
    """


_config = config_option("-c", "--config")


@queue_command.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every segment.")
@_config
@queue_option
def status(config: Path, folder: Path | None, as_json: bool) -> int:
    """Show how full the queue is and how far each output has come.

    LAG is what an output is behind, in bytes on disk. Changes nothing.
    """
    from agent.delivery.dead_letters.folder import dead_letter_counts, letter_folders
    from agent.queue.summary import summary, summary_text

    loaded = None if folder is not None else _load(config)
    folder = _queue_folder(config, folder)
    with _sentences(folder):
        letters = {name: dead_letter_counts(there.path).kept for name, there in letter_folders(folder).items()}
        found = summary(RealDisk(), folder, None if loaded is None else loaded.queue.max_bytes, letters)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found))
    else:
        click.echo(summary_text(found, time.time_ns() // 1_000_000))
    return DONE


@queue_command.command("verify")
@_config
@queue_option
def verify_command(config: Path, folder: Path | None) -> int:
    """Read every byte of the queue and name what is wrong.

    Checks every frame (checksum, documents, ids, totals) and every cursor. Each fault is one line with its file and
    place. Exit status 2 when there is one. Changes nothing; `repair` does.
    """
    from agent.queue.verify import text_of, verify

    folder = _queue_folder(config, folder)
    with _sentences(folder):
        progress = _Progress(folder)
        found = verify(RealDisk(), folder, lambda finding: click.echo(text_of(finding)), progress.entered)
        progress.end()
    numbers = {"record": found.records, "frame": found.frames, "segment": found.segments, "cursor": found.cursors}
    looked = ", ".join(counted(n, noun) for noun, n in numbers.items())
    click.echo(f"Looked at {looked} ({readable_size(found.bytes)}).")
    if found.is_good:
        click.echo("All is well.")
        return DONE
    faults = [
        f"{counted(found.damaged, 'damaged place')} ({readable_size(found.damaged_bytes)})" if found.damaged else "",
        f"{counted(found.missing, 'record')} missing" if found.missing else "",
        f"{counted(found.contradictions, 'contradiction')}" if found.contradictions else "",
    ]
    click.echo("NOT ALL IS WELL: " + ", ".join(filter(None, faults)) + ".")
    if found.missing:
        click.echo("Missing records cannot be brought back; outputs count them as damaged when they come by.")
    return NOT_ALL_IS_WELL


@queue_command.command()
@click.option("--dry-run", is_flag=True, help="Only tell what there is to do.")
@_config
@queue_option
def repair(config: Path, folder: Path | None, dry_run: bool) -> int:
    """Set aside what cannot be read, keep what can.

    The agent does not need this to start. It tidies: a damaged segment is written again with its readable records and
    the old one moved to the folder `damaged`; a cursor that is not readable begins again at the oldest record. Needs
    the agent to be stopped, but for --dry-run. What it does is safe against a crash at any moment.
    """
    from agent.queue.repair import TEMPORARY, carry_out, plan
    from agent.queue.verify import text_of

    folder = _queue_folder(config, folder)
    with _sentences(folder), contextlib.nullcontext() if dry_run else alone(folder):
        steps = plan(RealDisk(), folder)
        for step in steps:
            for damage in step.damages:
                click.echo(text_of(damage))
            if dry_run and step.name.endswith(TEMPORARY):
                click.echo(f"{plain(step.name)}: an interrupted repair left it")
        if not steps:
            click.echo("There is nothing to repair.")
        elif dry_run:
            click.echo(f"{counted(len(steps), 'file')} to repair; nothing was changed.")
        else:
            carry_out(RealDisk(), folder, steps, click.echo)
            click.echo(
                f"{counted(len(steps), 'file')} repaired. `modeltail queue verify` says how many records are missing."
            )
    return DONE


@queue_command.command("export")
@click.option("--output", metavar="OUTPUT", help="Only what this output has not finished.")
@click.option("--from", "since", metavar="TIME", help=f"Only records read since then: {_TIME}.")
@click.option("--to", "until", metavar="TIME", help="Only records read until then.")
@click.option("--with-ids", is_flag=True, help='Each line as {"id": …, "stream": …, "document": …}.')
@_config
@queue_option
def export_command(
    config: Path, folder: Path | None, output: str | None, since: str | None, until: str | None, with_ids: bool
) -> int:
    """Write the documents in the queue to standard output, one a line, oldest first.

    They are as they will be sent; finished ones are among them as long as their segment is there. Times are when the
    agent read the record (`event.created`). What is damaged is left out and told on standard error; the exit status is
    2 then.
    """
    from agent.queue.export import export

    folder = _queue_folder(config, folder)
    span = _span(since, until)
    out = sys.stdout.buffer
    with _sentences(folder):
        cursor = None if output is None else _cursor(folder, output)
        done = export(RealDisk(), folder, out.write, _tell_finding, not_done_by=cursor, span=span, with_ids=with_ids)
        out.flush()
    return NOT_ALL_IS_WELL if done.findings else DONE


@queue_command.command()
@click.argument("output")
@click.option("--from", "since", metavar="TIME", required=True, help=f"Records read since then: `oldest`, {_TIME}.")
@click.option("--to", "until", metavar="TIME", help="Only records read until then.")
@click.option("--yes", is_flag=True, help="Also if OUTPUT stores a second time what it has already.")
@_config
@queue_option
def replay(config: Path, folder: Path | None, output: str, since: str, until: str | None, yes: bool) -> int:
    """Send OUTPUT again what it has finished and the queue still holds.

    For a destination that lost records it had taken. Records go under the ids they have, so one that recognises ids
    (Elasticsearch) takes only what it lacks. What OUTPUT has not finished is left to the agent. Changes nothing in the
    queue and nothing in the ledger. The exit status is 2 when a record was refused or could not be read.
    """
    import asyncio

    loaded = _load(config)
    component = next((component for component in loaded.outputs if component.id == output), None)
    if component is None:
        known = ", ".join(component.id for component in loaded.outputs)
        raise QueueError(f"{config} has no output {plain(output)}; it has {known}")
    folder = _queue_folder(config, folder or loaded.queue.path)
    span = _span(None if since == "oldest" else since, until)
    with _sentences(folder):
        return asyncio.run(_replay(folder, component, span, yes=yes))


async def _replay(folder: Path, component: "OutputConfig", span: "Span", *, yes: bool) -> int:
    from agent.components import make_output, make_when, recognises_ids
    from agent.delivery.contract import Transactional
    from agent.delivery.dead_letters.summary import printable
    from agent.delivery.replay import Replay
    from agent.errors import SendError
    from agent.queue.walk import Walk, read_cursors

    name = component.id
    output = make_output(component)
    if isinstance(output, Transactional):
        raise QueueError(
            f"{name} keeps its own position beside its records and takes none a second time; "
            "`modeltail queue export` gives you the records"
        )
    with contextlib.ExitStack() as stack:
        if not recognises_ids(component):
            if not yes:
                raise QueueError(f"{name} would store again what it has already; if that is what you want, say --yes")
            stack.enter_context(alone(folder))  # it writes where a running agent writes
        progress = _Progress(folder)
        replay = Replay(output, component.delivery, span, _tell, _tell_finding, make_when(component))
        trouble = ""
        try:
            async with output:
                walk = Walk(RealDisk(), folder, durable=True)
                cursor = read_cursors(RealDisk(), folder).get(name)
                await replay.run(walk, cursor, lambda: progress.records(replay.done.delivered))
        except SendError as error:
            trouble = str(error)
        progress.end()
    done = replay.done
    click.echo(
        f"{name}: {counted(done.delivered, 'record')} delivered, of these {done.duplicates:,} were there already; "
        f"{sum(done.refused.values()):,} refused, {done.not_taken:,} not taken."
    )
    for reason, n in sorted(done.refused.items(), key=lambda item: -item[1])[:10]:
        click.echo(f"  refused {n:,}: {printable(reason)}")
    if done.unfinished:
        click.echo(f"Left to the agent: {counted(done.unfinished, 'record')} that {name} has not finished.")
    if trouble:
        raise QueueError(f"{name} takes nothing now: {trouble}; the rest was not sent, run this again later")
    return DONE if done.is_complete else NOT_ALL_IS_WELL


@queue_command.command()
@click.argument("output")
@click.option("--yes", is_flag=True, help="Also if OUTPUT is configured still, and is to begin anew.")
@_config
@queue_option
def forget(output: str, config: Path, folder: Path | None, yes: bool) -> int:
    """Let go of the records that are kept for OUTPUT, an output that is not configured any more.

    Needs the agent to be stopped. The records stay for the other outputs. Exit status 2 when OUTPUT is not known. With
    --queue the configuration is not looked at.
    """
    from agent.queue.forget import forget_output
    from agent.queue.recovery import recover

    if folder is None and not yes and output in {component.id for component in _load(config).outputs}:
        raise QueueError(
            f"{plain(output)} is configured still: what it has not delivered would not be sent. "
            f"Take it out of {config} first, or say --yes"
        )
    folder = _queue_folder(config, folder)
    disk = RealDisk()
    with _sentences(folder), alone(folder):
        recovered = recover(disk, folder)
        if not forget_output(disk, folder, output):
            known = ", ".join(map(plain, sorted({*recovered.cursors, *recovered.unreadable_cursors}))) or "none"
            click.echo(f"No output {plain(output)} is known in {folder}; known: {known}.")
            return NOT_ALL_IS_WELL
    left = "nobody knows how many records"
    if output in recovered.cursors:
        left = counted(recovered.cursors[output][0].behind(recovered.state.total), "record")
    click.echo(f"{plain(output)} is forgotten, and with it what it had not finished: {left}.")
    return DONE


def _load(config: Path) -> "AgentConfig":
    from agent.config.load import load

    return load(config)


def _queue_folder(config: Path, folder: Path | None) -> Path:
    """The folder, which is a queue's. Raises ``QueueError``."""
    folder = _load(config).queue.path if folder is None else folder
    with _sentences(folder):
        if not folder.exists():
            raise QueueError(f"there is no queue in {folder}; has the agent run with this configuration?")
        names = os.listdir(folder)
    if not any(name == LOCK or name.startswith(PREFIX) or name.endswith(SUFFIX) for name in names):
        raise QueueError(f"{folder} is not a queue: there is neither a segment nor a cursor nor a lock in it")
    return folder


@contextlib.contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """What the disk refuses, as a sentence."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = error.filename or folder
        raise QueueError(f"the queue in {folder} cannot be used: {place}: {error.strerror or error}") from error


def _cursor(folder: Path, output: str) -> "Cursor | None":
    """The cursor of an output, None when it is not readable: then nothing is known to be finished."""
    from agent.queue.walk import read_cursors

    cursors = read_cursors(RealDisk(), folder)
    if output not in cursors:
        known = ", ".join(map(plain, cursors)) or "none"
        raise QueueError(f"no output {plain(output)} is known in {folder}; known: {known}")
    return cursors[output]


def _span(since: str | None, until: str | None) -> "Span":
    from agent.moment import parse_moment
    from agent.queue.span import Span

    now_us = time.time_ns() // 1000

    def moment(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromtimestamp(parse_moment(text, now_us) / 1_000_000, UTC)

    try:
        return Span(moment(since), moment(until))
    except (ValueError, OverflowError, OSError) as error:
        raise click.UsageError(str(error)) from None


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)


def _tell_finding(finding: "Finding") -> None:
    from agent.queue.verify import text_of

    click.echo(text_of(finding), err=True)


class _Progress:
    """How far a long look has come, on a terminal's standard error, and nowhere else."""

    def __init__(self, folder: Path) -> None:
        self._shown = sys.stderr.isatty()
        self._bytes = 0
        self._all = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}")) if self._shown else 0

    def entered(self, segment: "Entered") -> None:
        """The look has come to this segment."""
        if self._shown and self._all:
            _tell_line(f"{100 * self._bytes / self._all:.0f} % of {readable_size(self._all)}")
        self._bytes += segment.size

    def records(self, count: int) -> None:
        """So many records are sent."""
        if self._shown:
            _tell_line(f"{count:,} records")

    def end(self) -> None:
        """Make the line free."""
        if self._shown:
            _tell_line("")


def _tell_line(text: str) -> None:
    click.echo(f"\r{text:<40}\r", err=True, nl=False)
