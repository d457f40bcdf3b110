"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.elasticsearch import ElasticsearchDestination, OpensearchDestination

DESTINATIONS: list[type[Destination]] = [ElasticsearchDestination, OpensearchDestination]

__all__ = ["DESTINATIONS", "Destination"]
