"""``modeltail ledger --verify``: asks the outputs, and says what was found."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from agent.components import make_lookup
from agent.config.root import AgentConfig
from agent.delivery.contract import Verifiable
from agent.errors import SendError
from agent.ledger_expected import Span, UnknownOutput
from agent.ledger_verify import Missing, Verdict, Verification
from agent.moment import parse_moment

SHOWN: Final = 20
"""Missing records named in the text; JSON has all."""
WIDTH: Final = 44


def verify_outputs(
    config: AgentConfig, queue: Path, output: str, since: str, until: str, *, as_json: bool
) -> int:  # the exit status
    """Verify the output of that id, or with an empty one every output that can be asked. Returns the exit status: the
    worst of them all, "cannot be asked" before "something is missing"."""
    asked = _span(since, until)
    chosen = [component for component in config.outputs if output in ("", component.id)]
    if not chosen:
        known = ", ".join(component.id for component in config.outputs)
        raise click.BadParameter(
            f"there is no output {output!r} in the configuration, but {known}", param_hint="--verify"
        )
    statuses = []
    for component in chosen:
        lookup = make_lookup(component)
        if component.when:
            click.echo(
                f"modeltail: {component.id}: which records its `when` left out is counted, but not kept by id, so "
                "nobody can say what ought to be there",
                err=True,
            )
            statuses += [1] if output else []
        elif lookup is None:
            kind = component.__struct_config__.tag
            click.echo(
                f"modeltail: {component.id}: an output of type {kind} cannot be asked for records by id", err=True
            )
            statuses += [1] if output else []
        else:
            statuses.append(_verify(lookup, queue, component.id, asked, as_json=as_json))
    if not statuses:
        click.echo("modeltail: none of the outputs can be asked; nothing was verified", err=True)
        return 1
    return 1 if 1 in statuses else max(statuses)


def _span(since: str, until: str) -> Span:
    now_us = time.time_ns() // 1000
    try:
        span = Span(*(parse_moment(text, now_us) // 1000 for text in (since, until)))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if span.since_ms >= span.until_ms:
        raise click.UsageError("--from must lie before --to")
    return span


def _verify(lookup: Verifiable, queue: Path, output: str, asked: Span, *, as_json: bool) -> int:
    first: list[Missing] = []

    def name(missing: Missing) -> None:
        if as_json:
            click.echo(msgspec.json.encode({"missing": {"output": output, **msgspec.to_builtins(missing)}}))
        elif len(first) < SHOWN:
            first.append(missing)

    def tell(sentence: str) -> None:
        click.echo(f"{output}: {sentence}", err=True)

    async def ask() -> Verdict:
        async with lookup:
            return await verification.run(lookup)

    try:
        verification = Verification(queue, output, asked, name=name, tell=tell)
        verdict = asyncio.run(ask())
    except UnknownOutput as error:
        click.echo(f"modeltail: {output}: {error}", err=True)
        return 1
    except SendError as error:
        click.echo(f"modeltail: {output}: cannot be asked, so nothing is known: {error}", err=True)
        return 1
    if as_json:
        click.echo(msgspec.json.encode({"verdict": verdict}))
    else:
        click.echo(verdict_text(verdict, first))
    return 0 if verdict.complete else 2


def verdict_text(verdict: Verdict, first: list[Missing]) -> str:
    """What was found, what was not asked for, and what may explain a missing record."""
    missing, unasked = sum(verdict.missing.values()), verdict.unasked
    lines = [f"OUTPUT {verdict.output}, records put into the queue {_between(verdict.asked)}"]
    lines += [_row("ought to be there", verdict.expected), _row("  there", verdict.there)]
    if verdict.dead_lettered:
        lines.append(_row("  in the dead-letter store", verdict.dead_lettered))
    lines.append(_row("  missing", missing))
    lines += [_row(f"    of {stream}", n) for stream, n in sorted(verdict.missing.items()) if len(verdict.missing) > 1]
    for label, n in (
        ("dropped by policy", unasked.dropped),
        ("in damaged frames, ids not known", unasked.unreadable),
        ("deleted, and no receipt is kept", unasked.forgotten),
    ):
        if n:
            lines.append(_row(f"not asked for: {label}", n))
    if unasked.forgotten:
        lines.append(
            f"  Receipts are bounded: those of segments before {_moment(unasked.forgotten_until_ms)} are gone."
        )
    if first:
        lines += ["", "MISSING" + (f" (the first {SHOWN}; all of them with --json)" if missing > len(first) else "")]
        lines += [f"  {m.id}  {m.stream}, put into the queue {_between(Span(m.since_ms, m.until_ms))}" for m in first]
        lines += ["", *_explanations(verdict)]
    return "\n".join([*lines, "", _sentence(missing)])


def _explanations(verdict: Verdict) -> list[str]:
    """What the ids cannot tell. Numbers are those of the output's whole life."""
    lines = ["What may explain it:"]
    for stream, since_ms in sorted(verdict.kept_since_ms.items()):
        lines.append(
            f"  {stream}: the oldest backing index is of {_moment(since_ms)}; retention may have deleted older"
        )
        lines.append("    records.")
    counted = {
        "dead-lettered (and then expired or purged)": verdict.counts.get("dead_lettered", 0),
        "counted as damaged": verdict.counts.get("damaged", 0),
        "put into the server's failure store": verdict.noted.get("failure_store", 0),
    }
    lines += [_row(f"{label}, in all", n) for label, n in counted.items() if n]
    lines += ["  Someone deleted them, or the name of the data stream was changed in the configuration."]
    return lines


def _sentence(missing: int) -> str:
    return (
        "Nothing is missing."
        if not missing
        else f"{missing:,} RECORDS ARE MISSING."
        if missing > 1
        else "1 RECORD IS MISSING."
    )


def _row(label: str, n: int) -> str:
    return f"  {label:<{WIDTH}}{n:>16,}"


def _between(span: Span) -> str:
    return f"between {_moment(span.since_ms)} and {_moment(span.until_ms)}"


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ms else "a time not known"
