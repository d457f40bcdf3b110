"""The command ``modeltail search``."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent.config.option import config_option

if TYPE_CHECKING:
    from agent.outputs.local.search import Search

NOTHING_FOUND: Final = 2
"""Exit status when no record matches."""

QUERY_MAY_BEGIN_WITH_A_DASH: Final = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""``-healthz`` is a term, so this command has no short options, not even the usual ones."""

EPILOG: Final = """\b
Examples:
  modeltail search 'level>=warning' --since 1h
  modeltail search 'timeout model:fraud-scorer -logger:uvicorn.access'
  modeltail search 'score>0.9 latency>100ms' --json | jq .ml.outputs
  modeltail search '"feature store" level:error' --follow
\b
Terms (all must hold):
  word  "a phrase"  pre*         in message, error, request id, logger
  level:error  level>=warning    this level; at least this one
  model:NAME  version:  logger:  id:  dataset:  host:  service:
  score>0.5  n:1..9  user:ann*   any field: by its name, or its place (ml.outputs.score)
  -term                          not
"""


@click.command("search", epilog=EPILOG, context_settings=QUERY_MAY_BEGIN_WITH_A_DASH)
@click.argument("query", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--since",
    metavar="TIME",
    help="Only records since then: how long ago (90s, 15m, 1h30m, 7d), or a date or time (2026-11-22T10:00Z).",
)
@click.option("--until", metavar="TIME", help="Only records until then.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0, 1_000_000), help="The newest so many; 0 shows all."
)
@click.option("--json", "as_json", is_flag=True, help="Documents as they are stored, one a line.")
@click.option("--follow", is_flag=True, help="Go on with what is stored from now on.")
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="MODELTAIL_STORE",
    show_envvar=True,
    metavar="FOLDER",
    help="The store. Default: that of the configuration's output `local`.",
)
@config_option("--config", help="The configuration that says where the store is.")
@click.pass_context
def search_command(
    ctx: click.Context,
    query: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
    follow: bool,
    store: Path | None,
    config: Path,
) -> None:
    """Find records in the embedded store.

    Shows the newest that match, the oldest of them first; without QUERY, the newest of all. Works while the agent runs
    and when it does not. The exit status is 2 when nothing was found.
    """
    from agent.outputs.local.search import search

    folder = store or _configured_store(config, named=_is_given(ctx, "config"))
    try:
        asked = search(
            folder,
            " ".join(query),
            since=since,
            until=until,
            limit=limit,
            follow=follow,
            now_us=time.time_ns() // 1000,
        )
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from None
    if not folder.is_dir():
        raise click.ClickException(
            f"There is no store in {folder}: nothing was stored yet, or it lies elsewhere (--store)."
        )
    ctx.exit(_write(asked, as_json=as_json))


def _write(asked: "Search", *, as_json: bool) -> int:
    from agent.outputs.local.search import Form, run

    terminal = sys.stdout.isatty()
    form = Form(
        as_json=as_json,
        color=terminal and "NO_COLOR" not in os.environ,
        width=shutil.get_terminal_size().columns if terminal else None,
    )
    told: set[Path] = set()

    def skipped(path: Path, reason: str) -> None:
        if path not in told:
            told.add(path)
            click.echo(f"{path} cannot be read in full: {reason}", err=True)

    def wait(secs: float) -> bool:
        time.sleep(secs)
        return True

    try:
        return 0 if run(asked, form, sys.stdout.buffer, skipped, wait) else NOTHING_FOUND
    except KeyboardInterrupt:
        if not asked.follow:
            raise
        return 0  # the only way to end it
    except BrokenPipeError:
        # Nothing may be flushed into the closed pipe when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _configured_store(path: Path, *, named: bool) -> Path:
    """Where the configuration puts the store; the usual place when there is no configuration and none was named."""
    from agent.config.load import load
    from agent.errors import ConfigError
    from agent.outputs.local.config import LocalConfig

    if not named and not path.exists():
        return LocalConfig().path
    try:
        outputs = load(path).outputs
    except ConfigError as error:
        problems = "\n".join(error.problems)
        raise click.ClickException(
            f"{problems}\nWhere the store is cannot be told from {path}; --store says it."
        ) from None
    stores = [output.path for output in outputs if isinstance(output, LocalConfig)]
    if not stores:
        raise click.ClickException(f"{path} has no output of type `local`, so there is no store to search.")
    return stores[0]


def _is_given(ctx: click.Context, parameter: str) -> bool:
    return ctx.get_parameter_source(parameter) is not click.core.ParameterSource.DEFAULT
