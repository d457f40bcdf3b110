"""Outputs: where records go. One module or folder per kind, its config struct beside it."""

from typing import get_args

from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.firehose.config import FirehoseConfig
from agent.outputs.http.config import HttpOutputConfig
from agent.outputs.kafka.config import KafkaConfig
from agent.outputs.kinesis.config import KinesisConfig
from agent.outputs.local.config import LocalConfig
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.loki.config import LokiConfig
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.opensearch.config import OpensearchConfig
from agent.outputs.otlp.config import OtlpOutputConfig
from agent.outputs.s3.config import S3Config
from agent.outputs.stdout.config import StdoutConfig

OutputConfig = (
    ElasticsearchConfig
    | FirehoseConfig
    | HttpOutputConfig
    | KafkaConfig
    | KinesisConfig
    | LocalConfig
    | LogstashConfig
    | LokiConfig
    | NdjsonConfig
    | OpensearchConfig
    | OtlpOutputConfig
    | S3Config
    | StdoutConfig
)
"""What an entry of ``outputs`` can be, told apart by its ``type``."""

OUTPUTS: tuple[type[OutputConfig], ...] = get_args(OutputConfig)
