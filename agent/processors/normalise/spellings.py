"""Which keys of a record fill which place: the one table of names.

Where several keys of a record claim a place, the first here that has the right kind takes it and the others stay
under ``fields``. A dotted key is met both as it stands and as objects within objects (``"trace.id"``, ``"trace":
{"id": …}``). What is not here is never ours to place: ``host``, ``data_stream``, ``event.id`` and the like say who
*we* are, so a user's key of that name goes to ``fields`` too.
"""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Final, NamedTuple

from agent.processors.normalise.clock import TimeReader
from agent.processors.normalise.durations import DurationReader
from agent.processors.normalise.exceptions import TracebackReader
from agent.processors.normalise.kinds import Identifier, Keyword, Keywords, Long, OneOf, Payload, Text
from agent.processors.normalise.levels import LevelReader
from agent.processors.normalise.reading import Reader

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
MICROSECOND: Final = 1_000
NANOSECOND: Final = 1


class Rule(NamedTuple):
    """How one key is read, and its rank among those that claim the same place (lower wins)."""

    reader: Reader
    rank: int

    @property
    def place(self) -> str:
        """The place the key claims."""
        return self.reader.places[0]


def _spelt(reader: Reader, keys: str) -> list[tuple[Reader, str]]:
    return [(reader, key) for key in keys.split()]


_LEVEL, _SYSLOG, _OTEL = LevelReader(), LevelReader("syslog"), LevelReader("otel")

_KEYS: Final[list[tuple[Reader, str]]] = [
    *_spelt(Text("message"), "message msg"),
    *_spelt(Keyword("message"), "event"),
    *_spelt(_LEVEL, "log.level level levelname level_name log_level loglevel lvl"),
    *_spelt(_SYSLOG, "severity"),
    *_spelt(_LEVEL, "severity_text levelno"),
    *_spelt(_OTEL, "severity_number"),
    *_spelt(Keyword("log.logger"), "log.logger logger logger_name name"),
    *_spelt(Keyword("log.origin.file.name"), "log.origin.file.name"),
    *_spelt(Long("log.origin.file.line"), "log.origin.file.line"),
    *_spelt(Keyword("log.origin.function"), "log.origin.function"),
    *_spelt(TracebackReader(), "error.stack_trace exc_info exception exc_text traceback stack_trace"),
    *_spelt(Keyword("error.type"), "error.type"),
    *_spelt(Text("error.message"), "error.message"),
    *_spelt(Keyword("error.code"), "error.code"),
    *_spelt(Keyword("error.id"), "error.id"),
    *_spelt(Identifier("trace.id"), "trace.id trace_id traceId otelTraceID"),
    *_spelt(Identifier("span.id"), "span.id span_id spanId otelSpanID"),
    *_spelt(Keyword("transaction.id"), "transaction.id"),
    *_spelt(Keyword("service.name"), "service.name"),
    *_spelt(Identifier("service.version"), "service.version"),
    *_spelt(Keyword("service.environment"), "service.environment"),
    *_spelt(Keyword("service.node.name"), "service.node.name"),
    *_spelt(Keyword("kubernetes.namespace"), "kubernetes.namespace"),
    *_spelt(Keyword("process.name"), "process.name"),
    *_spelt(Long("process.pid"), "process.pid"),
    *_spelt(Keyword("process.thread.name"), "process.thread.name"),
    *_spelt(Long("process.thread.id"), "process.thread.id"),
    *_spelt(Keyword("event.action"), "event.action"),
    *_spelt(OneOf("event.outcome", "success", "failure", "unknown"), "event.outcome outcome"),
    *_spelt(Long("event.duration"), "event.duration"),
    *_spelt(DurationReader(NANOSECOND), "duration_ns latency_ns elapsed_ns"),
    *_spelt(DurationReader(MICROSECOND), "duration_us latency_us elapsed_us"),
    *_spelt(
        DurationReader(MILLISECOND),
        "latency_ms duration_ms elapsed_ms response_time_ms inference_time_ms execution_time_ms process_time_ms",
    ),
    *_spelt(DurationReader(SECOND), "duration latency elapsed response_time inference_time process_time"),
    *_spelt(DurationReader(SECOND), "duration_s latency_s elapsed_s duration_sec latency_sec elapsed_sec"),
    *_spelt(
        DurationReader(SECOND),
        "duration_secs latency_secs elapsed_secs duration_seconds latency_seconds elapsed_seconds",
    ),
    *_spelt(Keyword("http.request.id"), "http.request.id"),
    *_spelt(Keyword("http.request.method"), "http.request.method"),
    *_spelt(Long("http.request.body.bytes"), "http.request.body.bytes"),
    *_spelt(Long("http.response.status_code"), "http.response.status_code"),
    *_spelt(Long("http.response.body.bytes"), "http.response.body.bytes"),
    *_spelt(Keyword("http.version"), "http.version"),
    *_spelt(Keyword("url.path"), "url.path"),
    *_spelt(Keyword("url.query"), "url.query"),
    *_spelt(Keyword("url.original"), "url.original"),
    *_spelt(Keyword("client.ip"), "client.ip"),
    *_spelt(Long("client.port"), "client.port"),
    *_spelt(Keyword("source.ip"), "source.ip"),
    *_spelt(Long("source.port"), "source.port"),
    *_spelt(Keyword("user.id"), "user.id"),
    *_spelt(Keyword("user.name"), "user.name"),
    *_spelt(Keyword("user_agent.original"), "user_agent.original"),
    *_spelt(Identifier("ml.inference.id"), "ml.inference.id inference_id request_id requestId req_id prediction_id id"),
    *_spelt(OneOf("ml.inference.phase", "request", "response"), "ml.inference.phase"),
    *_spelt(Long("ml.inference.batch_size"), "ml.inference.batch_size batch_size"),
    *_spelt(Keyword("ml.model.name"), "ml.model.name model_name model.name model"),
    *_spelt(Identifier("ml.model.version"), "ml.model.version model_version model.version"),
    *_spelt(Payload("ml.inputs"), "ml.inputs inputs input features instances"),
    *_spelt(Payload("ml.outputs"), "ml.outputs outputs output predictions prediction"),
    *_spelt(Payload("ml.metrics"), "ml.metrics metrics"),
    *_spelt(Keyword("gen_ai.operation.name"), "gen_ai.operation.name"),
    *_spelt(Keyword("gen_ai.system"), "gen_ai.system"),
    *_spelt(Keyword("gen_ai.request.model"), "gen_ai.request.model"),
    *_spelt(Keyword("gen_ai.response.model"), "gen_ai.response.model"),
    *_spelt(Keyword("gen_ai.response.id"), "gen_ai.response.id"),
    *_spelt(Keywords("gen_ai.response.finish_reasons"), "gen_ai.response.finish_reasons"),
    *_spelt(Long("gen_ai.usage.input_tokens"), "gen_ai.usage.input_tokens"),
    *_spelt(Long("gen_ai.usage.output_tokens"), "gen_ai.usage.output_tokens"),
    *_spelt(Long("gen_ai.usage.cache_read.input_tokens"), "gen_ai.usage.cache_read.input_tokens"),
    *_spelt(Long("gen_ai.usage.reasoning.output_tokens"), "gen_ai.usage.reasoning.output_tokens"),
]


def rules(zone: tzinfo | None) -> Mapping[str, Rule]:
    """The table, by key. ``zone`` is what times without a zone are in."""
    time = _spelt(TimeReader(zone), "@timestamp timestamp ts time asctime datetime timestamp_ms created")
    return {key: Rule(reader, rank) for rank, (reader, key) in enumerate(time + _KEYS)}


NESTED: Final = tuple(key for _, key in _KEYS if "." in key)
"""The dotted keys, which may also be written as objects within objects."""
