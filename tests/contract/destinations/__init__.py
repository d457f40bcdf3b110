"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.elasticsearch import ElasticsearchDestination
from tests.contract.destinations.local import LocalStore
from tests.contract.destinations.ndjson import NdjsonFile

DESTINATIONS: list[type[Destination]] = [ElasticsearchDestination, LocalStore, NdjsonFile]

__all__ = ["DESTINATIONS", "Destination"]
