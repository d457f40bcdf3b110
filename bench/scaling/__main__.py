"""``python -m bench.scaling [NAME…]``: what each hop takes, one after the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from bench.processes import interrupt_on_sigterm
from bench.scaling import kafka, kinesis
from bench.scaling.hop import HEADING, Hop
from bench.workspace import workspace

WAYS: dict[str, Callable[[int, Path], Iterator[Hop]]] = {"kafka": kafka.hops, "kinesis": kinesis.hops}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(WAYS)))
@click.option(
    "--records", type=click.IntRange(1, 50_000_000), default=1_000_000, show_default=True, help="Through each hop."
)
def main(names: tuple[str, ...], records: int) -> None:
    """Measure the hops of the set-ups NAMES, or of all. Ends with status 1 when one does not get every record once."""
    interrupt_on_sigterm()
    click.echo(HEADING)
    for name, hops in WAYS.items():
        if names and name not in names:
            continue
        with workspace() as folder:
            for hop in hops(records, folder):
                click.echo(hop.row())


if __name__ == "__main__":
    main()
