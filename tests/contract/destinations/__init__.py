"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.logstash_http import LogstashHttp
from tests.contract.destinations.lumberjack import Lumberjack

DESTINATIONS: list[type[Destination]] = [LogstashHttp, Lumberjack]

__all__ = ["DESTINATIONS", "Destination"]
