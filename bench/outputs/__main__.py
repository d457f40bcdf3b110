"""``python -m bench.outputs [NAME…]``: CPU-seconds per million records of each output, one after the other."""

import importlib
import pkgutil
import sys
from pathlib import Path

import click

import bench.outputs
from agent.outputs import OUTPUTS
from bench.outputs.peer import Peer
from bench.outputs.run import HEADING, measure
from bench.processes import interrupt_on_sigterm
from bench.workspace import workspace

BASELINE = "elasticsearch"


def peers() -> list[Peer]:
    """The peers of every module here that has some, for the outputs there are; first what the others are compared
    with."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(bench.outputs.__file__).parent)])]
    modules = [importlib.import_module(f"bench.outputs.{name}") for name in names if name != "__main__"]
    kinds = {output.__struct_config__.tag for output in OUTPUTS}
    found = [peer for module in modules for peer in getattr(module, "PEERS", ()) if peer.name in kinds]
    return sorted(found, key=lambda peer: (peer.name != BASELINE, peer.name))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--records", type=click.IntRange(1, 50_000_000), default=500_000, show_default=True, help="Records each.")
def main(names: tuple[str, ...], records: int) -> None:
    """Measure the outputs NAMES, or all. Ends with status 1 when one does not get every record once."""
    interrupt_on_sigterm()
    known = peers()
    if unknown := set(names) - {peer.name for peer in known}:
        raise click.UsageError(f"no such output: {', '.join(sorted(unknown))}; there are {[p.name for p in known]}")
    click.echo(HEADING)
    baseline: float | None = None
    complete = True
    with workspace() as folder:
        for peer in known:
            if names and peer.name not in names:
                continue
            shipped = measure(peer, records, folder)
            if peer.name == BASELINE:
                baseline = shipped.cpu_secs_per_million
            click.echo(shipped.row(baseline))
            complete = complete and shipped.is_complete
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
