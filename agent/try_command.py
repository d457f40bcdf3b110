"""The command ``modeltail try``."""

import sys
from collections import Counter
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click

from agent.config.option import config_option
from agent.processors.parse.config import ParseConfig, PresetName, RegexParse

if TYPE_CHECKING:
    from agent.config.root import AgentConfig
    from agent.inputs import InputConfig
    from agent.trial import Tried

NO_LINE_FITS: Final = 2
"""Exit status when there were lines of text, somebody said how they are written, and not one is."""

MISFITS_EXPLAINED: Final = 10
"""So many lines that do not fit are told of one by one when documents are written."""

FIRST: Final = ("@timestamp", "log", "message", "error", "event", "ml", "gen_ai")
LAST: Final = ("fields", "labels")

EPILOG: Final = """\b
Examples:
  modeltail try --preset vllm < vllm.log
  modeltail try --pattern '^(?P<time>\\S+) (?P<level>[A-Z]+) (?P<message>.*)' model.log
  modeltail try --parse '{type: csv, columns: [time, level, msg]}' --json < rows.csv | jq .message
  modeltail try -c agent.yaml --input scorer /logs/scorer.log
\b
"""


def _described(ctx: click.Context, option: click.Parameter, text: str | None) -> ParseConfig | None:
    from agent.config.load import read
    from agent.errors import ConfigError

    if text is None:
        return None
    try:
        parse: ParseConfig = read(ParseConfig, text.encode(), "--parse", {})  # type: ignore[arg-type]
    except ConfigError as error:
        raise click.BadParameter("\n".join(error.problems)) from None
    return parse


def _expressed(ctx: click.Context, option: click.Parameter, text: str | None) -> ParseConfig | None:
    from agent.config import pattern

    if text is None:
        return None
    try:
        pattern.compile(text)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}") from None
    parse = RegexParse(pattern=text)
    for _, sentence in parse.problems():
        raise click.BadParameter(f"the pattern {sentence}")
    return parse


def _list_presets(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        from agent.processors.parse.presets import PRESETS

        width = max(map(len, PRESETS))
        for name, knows in PRESETS.items():
            click.echo(f"{name:{width}}  {knows}")
        ctx.exit()


@click.command("try", epilog=EPILOG)
@click.argument("lines", type=click.File("rb"), default="-", metavar="[FILE]")
@click.option(
    "--preset", "presets", multiple=True, type=click.Choice(get_args(PresetName)), help="Lines of this server."
)
@click.option("--parse", callback=_described, metavar="SETTINGS", help="The setting `parse` of an input, as YAML.")
@click.option(
    "--pattern", callback=_expressed, metavar="REGEX", help="Short for `--parse '{type: regex, pattern: …}'`."
)
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="Zone of times written without one.")
@config_option("-c", "--config", help="With --input: the configuration the input is in.")
@click.option("--input", "input_id", metavar="ID", help="What this input of the configuration would make of the lines.")
@click.option(
    "--json/--fields",
    "as_json",
    default=None,
    help="Whole documents, one a line; or each line with its fields.  [default: fields on a terminal]",
)
@click.option(
    "--list", is_flag=True, expose_value=False, is_eager=True, callback=_list_presets, help="Name the presets, and end."
)
@click.pass_context
def try_command(
    ctx: click.Context,
    lines: BufferedIOBase,
    presets: tuple[PresetName, ...],
    parse: ParseConfig | None,
    pattern: ParseConfig | None,
    timezone: str,
    config: Path,
    input_id: str | None,
    as_json: bool | None,
) -> None:
    """Show what would be made of lines.

    Reads FILE or standard input, and shows the record each line would become, by the very way it would go in an agent
    with these settings. Nothing is stored or sent, and no configuration is needed. The exit status is 2 when no line
    of text fits.
    """
    if parse and pattern:
        raise click.UsageError("give either --parse or --pattern", ctx)
    parse = parse or pattern
    if input_id is None and ctx.get_parameter_source("config") is not click.core.ParameterSource.COMMANDLINE:
        root, component = _ad_hoc(presets, parse, timezone)
    elif presets or parse:
        raise click.UsageError("--preset and --parse stand in the configuration already", ctx)
    else:
        root, component = _configured(config, input_id)
    ctx.exit(_show(root, component, lines, as_json=not sys.stdout.isatty() if as_json is None else as_json))


def _ad_hoc(
    presets: tuple[PresetName, ...], parse: ParseConfig | None, timezone: str
) -> "tuple[AgentConfig, InputConfig]":
    from agent.config.root import AgentConfig
    from agent.inputs.stdin.config import StdinConfig
    from agent.outputs.stdout.config import StdoutConfig
    from agent.processors.normalise.times import zone_of

    try:
        zone_of(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise click.BadParameter(f"there is no time zone {timezone!r}", param_hint="--timezone") from error
    component = StdinConfig(preset=list(presets), parse=parse, timezone=timezone)
    return AgentConfig(inputs=[component], outputs=[StdoutConfig()]), component


def _configured(path: Path, input_id: str | None) -> "tuple[AgentConfig, InputConfig]":
    from agent.config.load import load
    from agent.inputs.options import LineOptions

    root = load(path)
    of_lines = {component.id: component for component in root.inputs if isinstance(component, LineOptions)}
    if input_id is None and len(of_lines) == 1:
        return root, next(iter(of_lines.values()))
    if input_id not in of_lines:
        known = ", ".join(of_lines) or "none"
        said = "say which" if input_id is None else f"there is no input of lines {input_id!r} in {path}"
        raise click.BadParameter(f"{said}; there are: {known}", param_hint="--input")
    return root, of_lines[input_id]


def _show(root: "AgentConfig", component: "InputConfig", lines: BufferedIOBase, *, as_json: bool) -> int:
    from agent.inputs.options import LineOptions
    from agent.trial import Trial, printable

    assert isinstance(component, LineOptions)
    described = bool(component.preset or component.parse)
    trial = Trial(root, component)
    outcomes: Counter[str] = Counter()
    for tried in trial.lines_of(lines):
        outcomes[tried.outcome] += 1
        misfit = _misfit(component, tried) if described and tried.outcome == "other" else ""
        if as_json:
            click.echo(tried.document)
            if misfit and outcomes["other"] <= MISFITS_EXPLAINED:
                click.echo(f"line {tried.number} {misfit}", err=True)
            continue
        click.secho(printable(tried.text), bold=True)
        if misfit:
            click.secho(f"  {misfit}", fg="red")
        width = max(map(len, tried.places))
        for place, value in sorted(tried.places.items(), key=_rank):
            click.echo(f"  {place:{width}}  {printable(value.decode(errors='replace'))}")
        click.echo()
    click.echo(_summary(outcomes, trial.counts.dropped, trial.counts.noted, described=described), err=True)
    return NO_LINE_FITS if described and outcomes["other"] and not outcomes["fits"] else 0


def _rank(filled: tuple[str, bytes]) -> tuple[int, str]:
    """Where a place stands among others: what people look for first, and what is kept beside it last."""
    place = filled[0]
    root = place.partition(".")[0]
    return (FIRST.index(root) if root in FIRST else len(FIRST) + (root in LAST), place)


def _misfit(component: "InputConfig", tried: "Tried") -> str:
    from agent.inputs.options import LineOptions
    from agent.processors.parse.explain import why
    from agent.trial import printable

    assert isinstance(component, LineOptions)
    if component.parse is None:
        return "is none of the preset's"
    return f"does not fit: {printable(why(component.parse, tried.text))}"


def _summary(outcomes: Counter[str], dropped: dict[str, int], noted: dict[str, int], *, described: bool) -> str:
    words = {"object": "JSON", "fits": "fit", "other": "do not fit" if described else "text"}
    parts = [f"{count} {words[outcome]}" for outcome in words if (count := outcomes[outcome])]
    parts += [f"{count} left out ({reason})" for reason, count in dropped.items()]
    parts += [f"{count} marked {mark}" for mark, count in noted.items()]
    total = outcomes.total() + sum(dropped.values())
    return f"{total} {'line' if total == 1 else 'lines'}: {', '.join(parts) or 'nothing to show'}"
