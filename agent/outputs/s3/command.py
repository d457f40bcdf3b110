"""The command ``modeltail s3``."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from agent.config.option import config_option

if TYPE_CHECKING:
    from agent.config.root import AgentConfig
    from agent.outputs import OutputConfig
    from agent.outputs.s3.config import S3Config
    from agent.outputs.s3.find import Wanted
    from agent.outputs.s3.replay import Replay

DONE: Final = 0
UNUSABLE: Final = 1
ANSWER_IS_NO: Final = 2
TOP: Final = 10
TOLD_EVERY: Final = 1000
"""Records between two looks at the progress."""

_TIME = "how long ago (90s, 15m, 1h30m, 7d), or a date or time (2026-11-22T10:00Z)"


@click.group("s3")
def s3_command() -> None:
    """Read back what an output of type `s3` has stored, by time and model.

    Changes nothing in the bucket. Works while the agent runs and when it does not.
    """


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which records."""
    for option in (
        config_option("-c", "--config"),
        click.option("--output", metavar="ID", help="The output of type `s3` to read. Needed when there are several."),
        click.option("--dataset", metavar="NAME", help="Only records of this dataset."),
        click.option("--model", metavar="NAME", help="Only records of this model."),
        click.option("--until", metavar="TIME", default="now", show_default=True, help="Only events until then."),
        click.option(
            "--since", metavar="TIME", default="24h", show_default=True, help=f"Only events since then: {_TIME}."
        ),
    ):
        command = option(command)
    return command


@s3_command.command()
@_selecting
def cat(since: str, until: str, model: str | None, dataset: str | None, output: str | None, config: Path) -> int:
    """Write documents to standard output, one a line, as they were stored.

    They come hour by hour. The exit status is 2 when there are none, or when an object could not be read.
    """
    wanted = _wanted(since, until, dataset, model)
    settings = _load(config)
    return asyncio.run(_cat(_source(settings, output, config), wanted))


async def _cat(source: "S3Config", wanted: "Wanted") -> int:
    from agent.outputs.s3.bucket import Bucket
    from agent.outputs.s3.find import Search

    written, out, progress = 0, sys.stdout.buffer, _Progress()
    async with Bucket(source) as bucket:
        search = Search(bucket, source.root, wanted, _tell)
        async for found in search.run():
            out.write(found.document + b"\n")
            written += 1
            if written % TOLD_EVERY == 0:
                progress.show(search.objects, written)
    out.flush()
    progress.end()
    if not written:
        _tell("No such records.")
    return DONE if written and not search.unreadable else ANSWER_IS_NO


@s3_command.command()
@click.option("--to", "target", metavar="OUTPUT", required=True, help="The output to send them to.")
@click.option("--yes", is_flag=True, help="Also if OUTPUT stores a second time what it has already.")
@_selecting
def replay(
    target: str,
    yes: bool,
    since: str,
    until: str,
    model: str | None,
    dataset: str | None,
    output: str | None,
    config: Path,
) -> int:
    """Send records to another output of the configuration.

    For a destination with a hole in its day. Records go under the ids they have, so one that recognises ids
    (Elasticsearch) takes only what it lacks; it can be interrupted and begun again at any moment. Changes nothing in
    the ledger. The exit status is 2 when a record was refused or could not be read.
    """
    wanted = _wanted(since, until, dataset, model)
    settings = _load(config)
    source = _source(settings, output, config)
    component = next((component for component in settings.outputs if component.id == target), None)
    if component is None:
        known = ", ".join(component.id for component in settings.outputs)
        raise click.ClickException(f"{config} has no output {target}; it has {known}.")
    if component.id == source.id:
        raise click.UsageError(f"{target} is where the records come from.")
    return asyncio.run(_replay(source, wanted, component, settings, yes=yes))


async def _replay(
    source: "S3Config", wanted: "Wanted", component: "OutputConfig", settings: "AgentConfig", *, yes: bool
) -> int:
    from agent import log
    from agent.components import make_output, recognises_ids
    from agent.config.secret import secrets_in
    from agent.delivery.contract import Transactional
    from agent.errors import ModeltailError
    from agent.outputs.s3.bucket import Bucket
    from agent.outputs.s3.find import Search
    from agent.outputs.s3.replay import Replay
    from agent.queue.lock import alone

    log.setup("warning", settings.log.format, secrets=secrets_in(settings))
    name = component.id
    target = make_output(component)
    if isinstance(target, Transactional):
        raise click.ClickException(
            f"{name} keeps its own position beside its records and takes none a second time; "
            "`modeltail s3 cat` gives you the records."
        )
    with contextlib.ExitStack() as stack:
        if not recognises_ids(component):
            if not yes:
                raise click.ClickException(
                    f"{name} would store again what it has already; if that is what you want, say --yes."
                )
            if settings.queue.path.is_dir():
                stack.enter_context(alone(settings.queue.path))  # it writes where a running agent writes
        sending, progress, trouble = Replay(target, component.delivery, _tell), _Progress(), None
        async with Bucket(source) as bucket:
            search = Search(bucket, source.root, wanted, _tell)
            try:
                async with target:
                    await sending.run(search.run(), lambda: progress.show(search.objects, sending.done.delivered))
            except ModeltailError as error:
                trouble = error
            finally:  # also when interrupted
                progress.end()
                _tell_result(name, search.objects, sending)
    if trouble is not None:
        _tell(f"modeltail: {trouble}; the rest was not sent: run this again later")
        return UNUSABLE
    complete = sending.done.is_complete and not (search.unreadable or sending.without_id)
    return DONE if complete else ANSWER_IS_NO


def _tell_result(name: str, objects: int, sending: "Replay") -> None:
    from agent.delivery.dead_letters.summary import printable
    from agent.queue.wording import counted

    done = sending.done
    click.echo(
        f"{name}: {done.delivered:,} delivered out of {counted(objects, 'object')}, of these {done.duplicates:,} were "
        f"there already; {sum(done.refused.values()):,} refused, {done.not_taken:,} not taken."
    )
    for reason, n in sorted(done.refused.items(), key=lambda item: -item[1])[:TOP]:
        click.echo(f"  refused {n:,}: {printable(reason)}")
    if sending.without_id:
        click.echo(f"Left out: {sending.without_id:,} without an id in `event.id`.")


def _load(config: Path) -> "AgentConfig":
    from agent.config.load import load

    return load(config)


def _source(settings: "AgentConfig", output: str | None, config: Path) -> "S3Config":
    """The output to read."""
    from agent.outputs.s3.config import S3Config

    there = [component for component in settings.outputs if isinstance(component, S3Config)]
    chosen = [component for component in there if output in (None, component.id)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(component.id for component in there)
    if not there:
        raise click.ClickException(f"{config} has no output of type `s3`.")
    if output is not None:
        raise click.ClickException(f"{config} has no output {output} of type `s3`; it has {names}.")
    raise click.UsageError(f"--output must say which: {names}.")


def _wanted(since: str, until: str, dataset: str | None, model: str | None) -> "Wanted":
    from agent.moment import parse_moment
    from agent.outputs.s3.find import Wanted

    now_us = time.time_ns() // 1000
    try:
        first, last = (datetime.fromtimestamp(parse_moment(text, now_us) / 1e6, UTC) for text in (since, until))
    except (ValueError, OverflowError, OSError) as error:
        raise click.UsageError(str(error)) from None
    if first > last:
        raise click.UsageError("--since must be before --until.")
    return Wanted(first, last, dataset, model)


def _tell(sentence: str) -> None:
    click.echo(sentence, err=True)


class _Progress:
    """How far it has come, on a terminal's standard error, and nowhere else."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, objects: int, records: int) -> None:
        """So much is done."""
        if self._shown:
            click.echo(f"\r{f'{objects:,} objects, {records:,} records':<40}\r", err=True, nl=False)

    def end(self) -> None:
        """Make the line free."""
        if self._shown:
            click.echo(f"\r{'':<40}\r", err=True, nl=False)
