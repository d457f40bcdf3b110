"""The command ``modeltail exec``."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.config.option import config_option
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.config.root import WrappingConfig
    from agent.inputs.exec.child import Child


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS] --",
    short_help="Run the model and collect what it writes.",
)
@config_option("-c", "--config", "path")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(path: Path, command: tuple[str, ...]) -> int:
    """Run COMMAND, collect what it writes to standard output and standard error, and end with its status.

    Signals are passed on to it. Its last words are a record too: how it ended, and the last lines of its standard
    error. Other inputs of the configuration run beside it.
    """
    from agent.inputs.exec import forwarding

    forwarding.hold_back()
    config = _load(path)
    from agent.config.secret import secrets_in

    # Before anything else: the model's environment is as it is now.
    from agent.inputs.exec.child import Child
    from agent.stopping import Budgets

    patience_secs = Budgets.of(config.grace, with_model=True).model
    with Child(command, patience_secs, list(secrets_in(config))) as child:
        forwarding.forward(child)
        try:
            _run(config, child)
        except Exception:
            traceback.print_exc()
        if child.is_alive or child.is_wanted:
            _outlive(child)
        return child.exit_status


def _run(config: "WrappingConfig", child: "Child") -> None:
    from agent import app, log
    from agent.config.secret import secrets_in

    log.setup(config.log.level, config.log.format, secrets=secrets_in(config))
    app.run(config, child=child)


def _load(path: Path) -> "WrappingConfig":
    from agent.config.load import load_as
    from agent.config.root import WrappingConfig

    try:
        return load_as(WrappingConfig, path)
    except ConfigError as error:
        if not path.exists():
            hint = "`modeltail exec` needs to know where records go; the least is `outputs: [{type: local}]` in a file"
            raise ConfigError([*error.problems, hint]) from None
        raise


def _outlive(child: "Child") -> None:
    """The agent has failed, and the model must not notice. What it writes goes to our own standard output and error
    from now on, until it ends; if we did not get as far as that, it is started now."""
    from agent.inputs.exec.relay import relay

    click.echo("modeltail: cannot go on; the model does, and what it writes is passed on, not collected", err=True)
    if child.is_wanted:
        try:
            child.start()
        except OSError as error:
            click.echo(f"modeltail: {child.command_line}: {error.strerror}", err=True)
            return
    relay(child.pipes)
    child.wait_blocking()
