"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.firehose import Firehose
from tests.contract.destinations.kinesis import Kinesis

DESTINATIONS: list[type[Destination]] = [Firehose, Kinesis]

__all__ = ["DESTINATIONS", "Destination"]
