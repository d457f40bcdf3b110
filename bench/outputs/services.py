"""The outputs that speak HTTP to a service, each towards the counting sink; and Logstash, towards the counter of what
Beats send."""

from functools import partial
from typing import Any

from bench.outputs.counting import counting
from bench.outputs.lumberjack import lumberjack
from bench.outputs.peer import Peer

_HTTP: dict[str, Any] = {"hosts": ["{address}"]}
_AWS: dict[str, Any] = {
    "endpoint": "{address}",
    "region": "eu-west-1",
    "access_key_id": "bench",
    "secret_access_key": "bench",
}


def _counted(kind: str, config: dict[str, Any]) -> Peer:
    return Peer(kind, partial(counting, config={"type": kind, **config}))


PEERS = (
    _counted("http", _HTTP),
    _counted("otlp", _HTTP),
    _counted("loki", _HTTP),
    _counted("kinesis", {**_AWS, "stream": "bench"}),
    _counted("firehose", {**_AWS, "stream": "bench"}),
    # As many records in an object as in others' requests: its own default waits a minute for company.
    _counted("s3", {**_AWS, "bucket": "bench", "delivery": {"batch_age": "100ms"}}),
    Peer("logstash", partial(lumberjack, config={"type": "logstash"})),
)
