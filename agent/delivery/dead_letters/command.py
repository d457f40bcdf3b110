"""The command ``modeltail dead-letter``."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from agent.config.option import config_option, queue_option
from agent.delivery.dead_letters.folder import AtWork, LetterFolder, letter_folders
from agent.delivery.dead_letters.letter import DeadLetter, letters_in
from agent.delivery.dead_letters.selection import Chosen, chosen_by
from agent.delivery.dead_letters.summary import (
    letter_text,
    printable,
    reason_lines,
    reasons_of,
    summarise,
    summary_text,
)

if TYPE_CHECKING:
    from agent.config.root import AgentConfig
    from agent.delivery.dead_letters.replay import Replayed
    from agent.outputs import OutputConfig

DONE: Final = 0
UNUSABLE: Final = 1
ANSWER_IS_NO: Final = 2
TOP: Final = 10


@click.group("dead-letter")
def dead_letter_command() -> None:
    """Look at what outputs refused for good, and send it again.

    Every command works while the agent runs and while it does not. OUTPUT is the id of an output in the configuration;
    without it, all are meant.
    """


_config = config_option("-c", "--config")
_top = click.option("--top", default=TOP, show_default=True, type=click.IntRange(1), help="Show so many reasons.")


def _selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters."""
    for option in (
        click.option("--stream", metavar="TEXT", help="Only those whose data stream contains TEXT, in any case."),
        click.option("--reason", metavar="TEXT", help="Only those whose reason contains TEXT, in any case."),
        click.option("--id", "ids", metavar="ID", multiple=True, help="Only this record; may be given several times."),
    ):
        command = option(command)
    return command


@dead_letter_command.command("list")
@click.argument("output", required=False)
@_top
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_config
@queue_option
def list_letters(output: str | None, top: int, as_json: bool, config: Path, folder: Path | None) -> int:
    """How many there are, since when, and why. Changes nothing."""
    summaries = {name: summarise(found) for name, found in _folders(config, folder, output).items()}
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(summaries).decode())
    elif summaries:
        click.echo("\n\n".join(summary_text(name, summary, top) for name, summary in summaries.items()))
    else:
        click.echo("There are no dead letters.")
    return DONE


@dead_letter_command.command()
@click.argument("output", required=False)
@_selecting
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="The oldest so many; 0 shows all.")
@click.option("--json", "as_json", is_flag=True, help="As they are stored, one a line.")
@_config
@queue_option
def show(
    output: str | None,
    ids: tuple[str, ...],
    reason: str | None,
    stream: str | None,
    limit: int,
    as_json: bool,
    config: Path,
    folder: Path | None,
) -> int:
    """Show letters in full: the reason and the document. Changes nothing. The exit status is 2 when there are none."""
    import msgspec

    shown = 0
    for letter in _letters(_folders(config, folder, output), chosen_by(ids=ids, reason=reason, stream=stream)):
        if limit and shown == limit:
            click.echo(f"There are more: --limit {limit * 10} shows more of them, --limit 0 all.", err=True)
            break
        click.echo(msgspec.json.encode(letter) if as_json else letter_text(letter))
        shown += 1
    return _found(shown)


@dead_letter_command.command()
@click.argument("output", required=False)
@_selecting
@click.option("--documents", is_flag=True, help="Only the documents, as they were sent.")
@_config
@queue_option
def export(
    output: str | None,
    ids: tuple[str, ...],
    reason: str | None,
    stream: str | None,
    documents: bool,
    config: Path,
    folder: Path | None,
) -> int:
    """Write letters to standard output, one JSON object a line, oldest first. Changes nothing."""
    import msgspec

    written = 0
    for letter in _letters(_folders(config, folder, output), chosen_by(ids=ids, reason=reason, stream=stream)):
        click.echo(letter.original if documents else msgspec.json.encode(letter))
        written += 1
    return _found(written)


@dead_letter_command.command()
@click.argument("output")
@_selecting
@click.option("--older-than", metavar="AGE", help="Only those given up longer ago: 7d, 12h.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_config
@queue_option
def purge(
    output: str,
    ids: tuple[str, ...],
    reason: str | None,
    stream: str | None,
    older_than: str | None,
    yes: bool,
    config: Path,
    folder: Path | None,
) -> int:
    """Delete dead letters of OUTPUT for good: all, or those that fit every option. They are counted as purged."""
    from agent.delivery.dead_letters.replay import purge as purge_letters

    before = time.time() - _age(older_than) if older_than is not None else None
    chosen = chosen_by(ids=ids, reason=reason, stream=stream, before=before)
    found = _folders(config, folder, output).get(output)
    reasons = reasons_of(found, chosen) if found is not None else None
    if found is None or not reasons:
        return _found(0)
    everything = not ids and reason is None and stream is None and before is None
    question = f"Delete {reasons.total():,} dead letters of {output} for good?"
    if not yes and not click.confirm(question, err=True):
        click.echo("Nothing was deleted.")
        return ANSWER_IS_NO
    try:
        purged = purge_letters(found, None if everything else chosen)
    except (AtWork, OSError) as error:
        return _unusable(f"{error}; what is not deleted is still there")
    click.echo(f"{purged:,} dead letters of {output} are deleted.")
    return DONE


@dead_letter_command.command()
@click.argument("output", required=False)
@_selecting
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@_config
@queue_option
def replay(
    output: str | None,
    ids: tuple[str, ...],
    reason: str | None,
    stream: str | None,
    dry_run: bool,
    config: Path,
    folder: Path | None,
) -> int:
    """Send dead letters again, once what made them be refused is mended.

    Each goes out as it was, under its old id: what has arrived before is recognised and not stored twice. What is
    delivered leaves the store; what is refused again stays, with the new reason. It can be interrupted and begun again
    at any moment. The exit status is 0 when all were delivered, 2 when some were refused again, 1 when the output
    cannot be used.
    """
    from agent.config.load import load

    settings = load(config)
    configured = {component.id: component for component in settings.outputs}
    if output is not None and output not in configured:
        raise click.ClickException(f"{config} has no output {output}; it has {', '.join(configured)}.")
    found = _folders(config, folder or settings.queue.path, output)
    chosen = chosen_by(ids=ids, reason=reason, stream=stream)
    waiting = {name: reasons for name, letters in found.items() if (reasons := reasons_of(letters, chosen))}
    if not waiting:
        click.echo("There is nothing to send again.")
        return ANSWER_IS_NO if ids or reason is not None or stream is not None else DONE
    status = DONE
    for name, reasons in waiting.items():
        component = configured.get(name)
        if component is None:
            answer = _unusable(
                f"{name} is not configured any more: "
                f"`modeltail dead-letter export {name} --documents` writes the documents"
            )
        elif dry_run:
            click.echo(f"{name}: {reasons.total():,} dead letters would be sent again")
            click.echo("\n".join(reason_lines(dict(reasons.most_common()), TOP)))
            answer = DONE
        else:
            answer = asyncio.run(_replay(component, found[name], chosen, settings))
        status = UNUSABLE if UNUSABLE in (status, answer) else max(status, answer)
    return status


async def _replay(component: "OutputConfig", folder: LetterFolder, chosen: Chosen, settings: "AgentConfig") -> int:
    """Send the letters of one output again and say what became of them."""
    from agent import log
    from agent.components import make_output
    from agent.config.secret import secrets_in
    from agent.delivery.dead_letters.replay import Replayed
    from agent.delivery.dead_letters.replay import replay as send_again
    from agent.errors import ModeltailError

    log.setup("warning", settings.log.format, secrets=secrets_in(settings))
    name = component.id
    output = make_output(component)
    if output.ordered:
        return _unusable(
            f"{name} takes records in the order of the queue only, so nothing can be sent to it again: "
            f"`modeltail dead-letter export {name} --documents` writes the documents"
        )
    result, trouble = Replayed(), None
    try:
        async with output:
            await send_again(folder, output, component.delivery, chosen, lambda said: _tell(name, said), result)
    except (ModeltailError, AtWork, OSError) as error:
        trouble = str(error)
    finally:  # also when interrupted
        click.echo(_result_text(name, result))
    if trouble is not None:
        return _unusable(f"{name}: {trouble}; what was not delivered is still there")
    if result.left:
        return _unusable(f"{name} does not take records now; what was not delivered is still there: try again later")
    return ANSWER_IS_NO if result.refused else DONE


def _result_text(name: str, result: "Replayed") -> str:
    text = f"{name}: {result.delivered:,} delivered"
    if result.repeats:
        text += f" ({result.repeats:,} of them were there already)"
    if result.failure_store:
        text += f" ({result.failure_store:,} of them to the server's failure store)"
    text += f", {result.refused.total():,} refused again"
    return "\n".join([text, *reason_lines(dict(result.refused.most_common()), TOP)])


def _tell(name: str, said: str) -> None:
    click.echo(f"{name}: {printable(said)}", err=True)


def _folders(config: Path, queue: Path | None, output: str | None) -> dict[str, LetterFolder]:
    """The dead letters there are, by output."""
    if queue is None:
        from agent.config.load import load

        queue = load(config).queue.path
    if not queue.is_dir():
        raise click.ClickException(f"there is no queue in {queue}; has the agent run with this configuration?")
    found = letter_folders(queue)
    return found if output is None else {name: folder for name, folder in found.items() if name == output}


def _letters(folders: dict[str, LetterFolder], chosen: Chosen) -> Iterator[DeadLetter]:
    for folder in folders.values():
        yield from filter(chosen, letters_in(folder.lines()))


def _found(n: int) -> int:
    if n:
        return DONE
    click.echo("No such dead letters.", err=True)
    return ANSWER_IS_NO


def _unusable(sentence: str) -> int:
    click.echo(f"modeltail: {sentence}", err=True)
    return UNUSABLE


def _age(text: str) -> float:
    from agent.config.units import duration

    try:
        return duration(text)
    except ValueError as error:
        raise click.UsageError(f"--older-than must be {error}") from None
