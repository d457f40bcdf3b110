"""The other ends of outputs: what the suite of `test_outputs.py` runs over."""

from tests.contract.destinations.destination import Destination
from tests.contract.destinations.elasticsearch import ElasticsearchDestination, OpensearchDestination
from tests.contract.destinations.firehose import Firehose
from tests.contract.destinations.http import HttpDestination
from tests.contract.destinations.kafka import KafkaDestination
from tests.contract.destinations.kinesis import Kinesis
from tests.contract.destinations.local import LocalStore
from tests.contract.destinations.logstash_http import LogstashHttp
from tests.contract.destinations.loki import LokiDestination
from tests.contract.destinations.lumberjack import Lumberjack
from tests.contract.destinations.ndjson import NdjsonFile
from tests.contract.destinations.otlp import OtlpDestination
from tests.contract.destinations.s3 import S3

DESTINATIONS: list[type[Destination]] = [
    ElasticsearchDestination,
    Firehose,
    HttpDestination,
    KafkaDestination,
    Kinesis,
    LocalStore,
    LogstashHttp,
    LokiDestination,
    Lumberjack,
    NdjsonFile,
    OpensearchDestination,
    OtlpDestination,
    S3,
]

__all__ = ["DESTINATIONS", "Destination"]
