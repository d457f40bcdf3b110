"""``python -m bench.inputs [NAME…]``: rate, CPU and drops of each input, one after the other."""

import importlib
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path

import click

import bench.inputs
from bench.inputs.feed import Feed
from bench.inputs.run import HEADING, measure
from bench.processes import interrupt_on_sigterm
from bench.steer import sink
from bench.workspace import workspace


def feeds() -> list[Feed]:
    """The feeds of every module here that has some."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(bench.inputs.__file__).parent)])]
    modules = [importlib.import_module(f"bench.inputs.{name}") for name in names if name != "__main__"]
    return [feed for module in modules for feed in getattr(module, "FEEDS", ())]


@click.command()
@click.argument("names", nargs=-1)
@click.option("--records", type=click.IntRange(1, 50_000_000), help="Records of each feed, instead of its own count.")
def main(names: tuple[str, ...], records: int | None) -> None:
    """Measure the feeds NAMES, or all. Ends with status 1 when one does not balance.

    MB/s is what was taken in while modeltail shared the machine's processors with who sends and who is delivered to;
    `starved` is the share of the time for which its event loop could have gone on and had no processor. MB/CPU s is
    what a second of its CPU time takes in, delivering included: the rate of one core that it has for itself.
    """
    interrupt_on_sigterm()
    known = feeds()
    chosen = [feed for feed in known if not names or feed.name in names]
    if unknown := set(names) - {feed.name for feed in known}:
        raise click.UsageError(f"no such feed: {', '.join(sorted(unknown))}; there are {[f.name for f in known]}")
    click.echo(HEADING)
    balanced = True
    with workspace() as folder, sink(folder / "sink.log") as control:
        for feed in chosen:
            if records is not None:
                feed = replace(feed, count=records)
            taken = measure(feed, control, folder)
            click.echo(taken.row())
            balanced = balanced and taken.balances
    sys.exit(0 if balanced else 1)


if __name__ == "__main__":
    main()
