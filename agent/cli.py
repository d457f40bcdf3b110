"""The command ``modeltail``: commands, nothing else.

What a command needs is imported when it runs: ``modeltail version`` and the help must not wait for an HTTP client, and
a configuration without Elasticsearch should not pay for it. Commands that live beside their component are in
``COMPONENT_COMMANDS`` and loaded when they are called.
"""

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent import __version__, signals
from agent.config.option import config_option, queue_option
from agent.errors import ConfigError, ModeltailError

if TYPE_CHECKING:
    from agent.config.root import AgentConfig

DONE: Final = 0
UNUSABLE: Final = 1
ANSWER_IS_NO: Final = 2
WRONG_USE: Final = 64
NOT_RUNNABLE: Final = 126
NOT_FOUND: Final = 127
INTERRUPTED: Final = 130

EXIT_STATUSES: Final = {
    DONE: "done, or stopped when asked to",
    UNUSABLE: "the configuration, the queue or an output cannot be used",
    ANSWER_IS_NO: "the answer is no: nothing was found, no line fits, the ledger does not balance, a record is missing",
    WRONG_USE: "the command line is not understood",
    NOT_RUNNABLE: "`exec`: the command cannot be run; any other status is the model's own",
    NOT_FOUND: "`exec`: the command is not found",
    INTERRUPTED: "interrupted",
}
"""Every exit status and its meaning: the one place."""

QUIET: Final = "30s"
"""How long nothing must have come before a job counts as over, unless the command line says otherwise."""

COMPONENT_COMMANDS: Final = {
    "dead-letter": (
        "agent.delivery.dead_letters.command:dead_letter_command",
        "Look at what outputs refused for good, and send it again.",
    ),
    "exec": ("agent.exec_command:exec_command", "Run the model and collect what it writes."),
    "queue": ("agent.queue.command:queue_command", "Look at the queue on disk."),
    "s3": ("agent.outputs.s3.command:s3_command", "Read back what is in S3, or send it on."),
    "search": ("agent.outputs.local.command:search_command", "Find records in the embedded store."),
    "try": ("agent.try_command:try_command", "Show what would be made of lines."),
}
"""Name of a command: where it is (module and attribute), and its line in the list of commands."""


class _Commands(click.Group):
    """The commands of this module and those of the components."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of this module, then those of the components."""
        return [*self.commands, *COMPONENT_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; a component's is imported now."""
        if cmd_name not in COMPONENT_COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = COMPONENT_COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. A reader that has seen enough (``| head``) is no error."""
        try:
            status: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Nothing may be flushed into the closed pipe when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        return status

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any component."""
        rows = [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        rows += [(name, line) for name, (_, line) in COMPONENT_COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit statuses."""
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in EXIT_STATUSES.items()])


_config_option = config_option("-c", "--config", "path")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="modeltail")
def cli() -> None:
    """Collect the logs of a machine-learning model and deliver every record once.

    modeltail follows the model's log files, puts each record into a common shape with the model's name and version on
    it, keeps it in a queue on disk, and sends it to Elasticsearch or a store of its own.

    To begin: write agent.yaml, `modeltail check agent.yaml`, then `modeltail run`.
    """


def _quiet_secs(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    from agent.config.units import duration

    if text is None:
        return None
    try:
        return duration(text)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}") from error


@cli.command()
@_config_option
@click.option(
    "--exit-when-idle",
    "quiet_secs",
    is_flag=False,
    flag_value=QUIET,
    callback=_quiet_secs,
    metavar="[=QUIET]",
    help="For jobs: end when nobody is seen who still writes, nothing has come for that long "
    f"({QUIET} unless given), and all is delivered.",
)
def run(path: Path, quiet_secs: float | None) -> int:
    """Run the agent until it is asked to stop.

    SIGTERM or Ctrl-C: read what is there, send what can be sent within the configured `grace`, and end; what is left
    waits in the queue for the next start. A second signal ends at once, and loses nothing either.
    """
    signals.hold_back()
    try:
        config = _load(path)
        from agent import app, log
        from agent.config.secret import secrets_in

        log.setup(config.log.level, config.log.format, secrets=secrets_in(config))
        return app.run(config, quiet_secs=quiet_secs)
    finally:
        signals.let_through()


@cli.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--connect", is_flag=True, help="Also ask every output whether it can be reached and used.")
@_config_option
def check(file: Path | None, connect: bool, path: Path) -> int:
    """Find every mistake in a configuration.

    FILE is the configuration to look at, in place of --config. Each mistake is one line with its file, line and column.
    """
    path = file or path
    try:
        config = _load(path)
    except ConfigError as error:
        click.echo("\n".join(error.problems))
        count = len(error.problems)
        click.echo(f"{count} {'mistake' if count == 1 else 'mistakes'} in {path}", err=True)
        return UNUSABLE
    click.echo(f"{path} is good: {_meaning(config)}")
    if waiting := _waiting(config.queue.path):
        click.echo(waiting)
    if not connect:
        return DONE
    import asyncio

    from agent import app

    _log_warnings(config)
    return _report(asyncio.run(app.check_outputs(config)), "Every output can be reached and used.")


@cli.command()
@_config_option
def setup(path: Path) -> int:
    """Install what the outputs need, such as index templates.

    The agent does this itself at its start where it is allowed to. Run it by hand, with more rights, where it is not.
    """
    config = _load(path)
    import asyncio

    from agent import app

    _log_warnings(config)
    installed = "What modeltail installs for these outputs is there. `modeltail check --connect` asks for all the rest."
    return _report(asyncio.run(app.setup_outputs(config)), installed)


@cli.command()
@_config_option
@queue_option
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --verify one object a line.")
@click.option(
    "--verify",
    is_flag=False,
    flag_value="",
    metavar="[OUTPUT]",
    help="Ask the output (or every one that can be asked) for each record it ought to have, and name what is missing.",
)
@click.option("--from", "since", metavar="TIME", help="With --verify: how long ago (7d), or when.  [default: 24h]")
@click.option("--to", "until", metavar="TIME", help="With --verify: likewise.  [default: now]")
def ledger(
    path: Path, folder: Path | None, as_json: bool, verify: str | None, since: str | None, until: str | None
) -> int:
    """Show what became of every record, and whether the sum balances.

    Reads the queue's folder, whether the agent is running or not, and changes nothing.
    """
    import msgspec

    from agent.ledger import read_ledger
    from agent.ledger_text import ledger_text

    if verify is None and (since or until):
        raise click.UsageError("--from and --to go with --verify")
    queue = folder or _load(path).queue.path
    if not queue.is_dir():
        click.echo(f"modeltail: there is no queue in {queue}; has the agent run with this configuration?", err=True)
        return UNUSABLE
    if verify is not None:
        from agent.ledger_command import verify_outputs

        return verify_outputs(_load(path), queue, verify, since or "24h", until or "now", as_json=as_json)
    found = read_ledger(queue)
    click.echo(msgspec.json.encode(found).decode() if as_json else ledger_text(found))
    return DONE if found.balances else ANSWER_IS_NO


@cli.group()
def config() -> None:
    """Describe the configuration file, for editors and people."""


@config.command()
def schema() -> int:
    """Write the JSON Schema of the configuration to standard output."""
    import json

    from agent.config.root import AgentConfig
    from agent.config.schema import schema_of

    click.echo(json.dumps(schema_of(AgentConfig, "modeltail's configuration"), indent=2, ensure_ascii=False))
    return DONE


@config.command()
def reference() -> int:
    """Write the description of every setting, as Markdown, to standard output."""
    from agent.config.reference import reference_of
    from agent.config.root import AgentConfig

    click.echo(reference_of(AgentConfig), nl=False)
    return DONE


@cli.command()
def version() -> int:
    """Print the version, and what it runs on."""
    import platform

    click.echo(
        f"modeltail {__version__} (Python {platform.python_version()}, {platform.system()} {platform.machine()})"
    )
    return DONE


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        # Not click's own way of ending: its status for a command line it does not understand is our "the answer is no".
        status = cli.main(arguments, prog_name="modeltail", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return WRONG_USE
    except click.ClickException as error:
        error.show()
        return UNUSABLE
    except click.Abort:
        return INTERRUPTED
    except ConfigError as error:
        click.echo("\n".join(error.problems), err=True)
        return UNUSABLE
    except (ModeltailError, PermissionError) as error:
        click.echo(f"modeltail: {error}", err=True)
        return UNUSABLE
    return status if isinstance(status, int) else DONE


def _load(path: Path) -> "AgentConfig":
    from agent.config.load import load

    return load(path)


def _waiting(queue: Path) -> str | None:
    from agent.queue.disk import RealDisk
    from agent.queue.summary import in_a_sentence

    return in_a_sentence(RealDisk(), queue)


def _log_warnings(config: "AgentConfig") -> None:
    """What an output would log goes to standard error with its fields, and without secrets."""
    from agent import log
    from agent.config.secret import secrets_in

    log.setup("warning", config.log.format, secrets=secrets_in(config))


def _report(problems: Iterable[str], all_good: str) -> int:
    problems = list(problems)
    click.echo("\n".join(problems) or all_good, err=bool(problems))
    return UNUSABLE if problems else DONE


def _meaning(config: "AgentConfig") -> str:
    from agent.config.units import show_size

    inputs = ", ".join(component.id for component in config.inputs)
    outputs = ", ".join(component.id for component in config.outputs)
    queue = f"the queue in {config.queue.path} (at most {show_size(config.queue.max_bytes)})"
    model = f"the model {config.model.name}" if config.model.name else "the model that the environment names"
    return f"records of {model} go from {inputs} through {queue} to {outputs}"
