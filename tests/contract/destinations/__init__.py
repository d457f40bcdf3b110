"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.elasticsearch import Elasticsearch
from tests.contract.destinations.firehose import Firehose
from tests.contract.destinations.kinesis import Kinesis
from tests.contract.destinations.local import LocalStore
from tests.contract.destinations.ndjson import NdjsonFile

DESTINATIONS: list[type[Destination]] = [
    Elasticsearch,
    Firehose,
    Kinesis,
    LocalStore,
    NdjsonFile,
]

__all__ = ["DESTINATIONS", "Destination"]
