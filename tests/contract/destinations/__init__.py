"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.s3 import S3

DESTINATIONS: list[type[Destination]] = [S3]

__all__ = ["DESTINATIONS", "Destination"]
