"""``python -m bench.outputs [NAME…]``: CPU-seconds per million records of each output, one after the other.

With ``--rounds`` all take their turns so many times, and each shows the run of its median CPU time: what else the
machine does for a while then falls on all of them, and a ratio is no accident of one run.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import click

import bench.outputs
from agent.outputs import OUTPUTS
from bench.outputs.peer import Peer
from bench.outputs.run import HEADING, Shipped, measure, typical
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
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True, help="Runs of each, in turns.")
def main(names: tuple[str, ...], records: int, rounds: int) -> None:
    """Measure the outputs NAMES, or all. Ends with status 1 when one does not get every record once."""
    interrupt_on_sigterm()
    known = peers()
    if unknown := set(names) - {peer.name for peer in known}:
        raise click.UsageError(f"no such output: {', '.join(sorted(unknown))}; there are {[p.name for p in known]}")
    chosen = [peer for peer in known if not names or peer.name in names]
    runs: dict[str, list[Shipped]] = {peer.name: [] for peer in chosen}
    baseline: float | None = None
    complete = True
    click.echo(HEADING)
    with workspace() as folder:
        for round_number in range(1, rounds + 1):
            for peer in chosen:
                runs[peer.name].append(measure(peer, records, folder))
                if round_number < rounds:
                    continue
                shipped = typical(runs[peer.name])
                if peer.name == BASELINE:
                    baseline = shipped.cpu_secs_per_million
                click.echo(shipped.row(baseline))
                complete = complete and shipped.is_complete
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    main()
