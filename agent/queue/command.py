"""The command ``modeltail queue``: look at a queue, and let go of an output."""

from pathlib import Path

import click

from agent.config.option import config_option, queue_option
from agent.queue.summary import InUse, forget_output, summary


@click.group("queue")
def queue_command() -> None:
    """Look at the queue on disk, whether the agent is running or not."""


def _folder(config: Path, folder: Path | None) -> Path:
    if folder is not None:
        return folder
    from agent.config.load import load

    return load(config).queue.path


_config = config_option("-c", "--config")


@queue_command.command()
@_config
@queue_option
def status(config: Path, folder: Path | None) -> int:
    """Show segments, sources and how far each output has come. Changes nothing."""
    folder = _folder(config, folder)
    if not folder.is_dir():
        click.echo(f"modeltail: there is no queue in {folder}; has the agent run with this configuration?", err=True)
        return 1
    click.echo(summary(folder))
    return 0


@queue_command.command()
@click.argument("output")
@_config
@queue_option
def forget(output: str, config: Path, folder: Path | None) -> int:
    """Let go of the records that are kept for OUTPUT, an output that is not configured any more.

    Needs the agent to be stopped. The records stay for the other outputs.
    """
    folder = _folder(config, folder)
    try:
        found = forget_output(folder, output)
    except InUse as error:
        click.echo(f"modeltail: {error}", err=True)
        return 1
    except FileNotFoundError:
        click.echo(f"modeltail: there is no queue in {folder}", err=True)
        return 1
    click.echo(f"{output} is forgotten." if found else f"No output {output} is known in {folder}.")
    return 0 if found else 2
