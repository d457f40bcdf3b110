"""What the entries of a configuration stand for: inputs, processors, outputs. The only module that knows every concrete
type; what a configuration does not name is not imported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agent import memory
from agent.config.root import AgentConfig
from agent.delivery.contract import Output, Verifiable
from agent.errors import ConfigError
from agent.form import Form
from agent.host import host
from agent.inputs import InputConfig
from agent.inputs.contract import Input
from agent.inputs.exec.config import ExecConfig
from agent.inputs.file.config import FileConfig
from agent.inputs.http.config import HttpConfig
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.options import LineOptions
from agent.inputs.otlp.config import OtlpConfig
from agent.inputs.stdin.config import StdinConfig
from agent.inputs.tcp.config import TcpConfig
from agent.inputs.udp.config import UdpConfig
from agent.inputs.unix.config import UnixConfig
from agent.model import identity
from agent.outputs import OutputConfig
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
from agent.pipeline import Processor
from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings, Parser

if TYPE_CHECKING:
    from agent.delivery.when import When
    from agent.inputs.exec.child import Child


def make_input(config: InputConfig, positions: Mapping[str, bytes], child: "Child | None" = None) -> Input:
    """The input of this configuration. Imports what it needs, and only that. ``child`` is the model if we run it."""
    match config:
        case FileConfig():
            from agent.inputs.file.input import FileInput

            return FileInput(config, positions)
        case JournaldConfig():
            from agent.inputs.journald.input import JournaldInput

            return JournaldInput(config, positions)
        case HttpConfig():
            memory.load_aiohttp()
            from agent.inputs.http.input import HttpInput

            return HttpInput(config)
        case OtlpConfig():
            memory.load_aiohttp()
            from agent.inputs.otlp.input import OtlpInput

            return OtlpInput(config)
        case StdinConfig():
            from agent.inputs.stdin.input import StdinInput

            return StdinInput(config)
        case ExecConfig():
            if child is None:
                raise ConfigError(["an input of the type `exec` needs a command: `modeltail exec -- COMMAND`"])
            from agent.inputs.exec.input import ExecInput

            return ExecInput(config, child)
        case TcpConfig():
            from agent.inputs.tcp.input import TcpInput

            return TcpInput(config)
        case UdpConfig():
            from agent.inputs.udp.input import UdpInput

            return UdpInput(config)
        case UnixConfig():
            from agent.inputs.unix.input import UnixInput

            return UnixInput(config)


def make_output(config: OutputConfig) -> Output:
    """The output of this configuration. Imports what it needs, and only that."""
    match config:
        case ElasticsearchConfig():
            memory.load_aiohttp()
            from agent.outputs.elasticsearch.output import ElasticsearchOutput

            return ElasticsearchOutput(config)
        case FirehoseConfig():
            memory.load_aiohttp()
            from agent.outputs.firehose.output import FirehoseOutput

            return FirehoseOutput(config)
        case KinesisConfig():
            memory.load_aiohttp()
            from agent.outputs.kinesis.output import KinesisOutput

            return KinesisOutput(config)
        case HttpOutputConfig():
            memory.load_aiohttp()
            from agent.outputs.http.output import HttpOutput

            return HttpOutput(config)
        case KafkaConfig():
            from agent.outputs.kafka.output import KafkaOutput

            return KafkaOutput(config)
        case LocalConfig():
            from agent.outputs.local.output import LocalOutput

            return LocalOutput(config)
        case LokiConfig():
            memory.load_aiohttp()
            from agent.outputs.loki.output import LokiOutput

            return LokiOutput(config)
        case LogstashConfig(protocol="http"):
            memory.load_aiohttp()
            from agent.outputs.logstash.http import LogstashHttpOutput

            return LogstashHttpOutput(config)
        case LogstashConfig(protocol="tcp"):
            from agent.outputs.logstash.lines import LogstashTcpOutput

            return LogstashTcpOutput(config)
        case LogstashConfig():
            from agent.outputs.logstash.lumberjack import LumberjackOutput

            return LumberjackOutput(config)
        case NdjsonConfig():
            from agent.outputs.ndjson.output import NdjsonOutput

            return NdjsonOutput(config)
        case OpensearchConfig():
            memory.load_aiohttp()
            from agent.outputs.opensearch.output import OpensearchOutput

            return OpensearchOutput(config)
        case OtlpOutputConfig():
            memory.load_aiohttp()
            from agent.outputs.otlp.output import OtlpOutput

            return OtlpOutput(config)
        case S3Config():
            memory.load_aiohttp()
            from agent.outputs.s3.output import S3Output

            return S3Output(config)
        case StdoutConfig():
            from agent.outputs.stdout.output import StdoutOutput

            return StdoutOutput(config)


def recognises_ids(config: OutputConfig) -> bool:
    """Whether the destination takes a record that it has, and is sent once more, for the one it has."""
    return isinstance(config, ElasticsearchConfig | LocalConfig | OpensearchConfig | S3Config)


def make_lookup(config: OutputConfig) -> Verifiable | None:
    """What can ask this output's destination for records by id; None when nothing can."""
    match config:
        case ElasticsearchConfig():
            from agent.outputs.elasticsearch.verify import ElasticsearchLookup

            return ElasticsearchLookup(config)
        case OpensearchConfig():
            from agent.outputs.opensearch.output import OpensearchLookup

            return OpensearchLookup(config)
        case _:
            return None


def make_when(config: OutputConfig) -> "When | None":
    """Which records the output wants; None when it wants all. Imports the query language only if there is a query."""
    if not config.when:
        return None
    from agent.delivery.when import When

    return When(config.when)


def form_for(outputs: Sequence[OutputConfig]) -> Form:
    """The form in which the queue keeps records: the one most outputs send as it lies, of equals that of the first. An
    output that wants some of the records only sends them one by one."""
    wanted = Counter(output.form for output in outputs if output.form is not None and not output.when)
    return wanted.most_common(1)[0][0] if wanted else Form.NDJSON


def parser_for(component: InputConfig) -> Parser | None:
    """What takes the lines of this input apart; None when nobody asked for it."""
    if not (isinstance(component, LineOptions) and (component.preset or component.parse)):
        return None
    from agent.processors.parse.make import parser_of

    return parser_of(component.preset, component.parse, component.timezone)


def processors_for(config: AgentConfig, component: InputConfig) -> list[Processor]:
    """What happens to the batches of this input on their way to the queue."""
    normaliser = Normaliser(
        NormaliseSettings(
            timezone=component.timezone,
            dataset=component.dataset or config.dataset,
            namespace=component.namespace or config.namespace,
        ),
        parser_for(component),
    )
    who = {**host(), **identity(config.model, config.environment, {**config.labels, **component.labels})}
    return [normaliser, partial(enrich, identity=who)]
