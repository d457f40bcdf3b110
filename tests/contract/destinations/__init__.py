"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination

DESTINATIONS: list[type[Destination]] = []

__all__ = ["DESTINATIONS", "Destination"]
