"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.http import HttpDestination
from tests.contract.destinations.loki import LokiDestination
from tests.contract.destinations.otlp import OtlpDestination

DESTINATIONS: list[type[Destination]] = [HttpDestination, LokiDestination, OtlpDestination]

__all__ = ["DESTINATIONS", "Destination"]
