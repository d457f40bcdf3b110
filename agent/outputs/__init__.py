"""Outputs: where records go. One module or folder per kind, its config struct beside it."""

from typing import get_args

from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.local.config import LocalConfig
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.stdout.config import StdoutConfig

OutputConfig = ElasticsearchConfig | LocalConfig | LogstashConfig | NdjsonConfig | StdoutConfig
"""What an entry of ``outputs`` can be, told apart by its ``type``."""

OUTPUTS: tuple[type[OutputConfig], ...] = get_args(OutputConfig)
