"""TorchServe: access log, server and model logs, metrics; in files of their own and together on the console.

``frontend/server/src/main/resources/log4j2.xml``: ``%d{ISO8601} [%-5p] %t %c - %m``, and ``%d{ISO8601} - %m`` for the
access log and metrics (older versions: a space in the time). A metric is ``Name.Unit:value|#dimensions|#hostname:…``,
of ``ts/metrics/metric.py``; old versions name the time a worker took to load after the worker. Workers' threads are
called ``W-9000-<model>_<version>[-stdout]``. The version ``default`` in a dimension says that a request named none.
"""

from typing import Final

from agent.processors.parse.presets.pieces import MODEL_PATHS, NUMBER, REQUEST, REST, TIME
from agent.processors.parse.presets.preset import Preset, form

_HEAD: Final = rf"{TIME} \[(?P<level>[A-Z]{{4,5}}) ?\] (?P<thread>\S{{1,256}}) "
_ACCESS: Final = (
    r"/?(?P<client>[^\s/]{1,255}):(?P<client_port>\d{1,5}) "
    rf"(?:{REQUEST} (?P<status>\d{{3}})"
    r"|\"gRPC (?P<rpc_method>[^\s\"]{1,1024}) HTTP/2\.0\" (?P<grpc_status>\d{1,2}))"
    r" (?P<duration_ms>\d{1,12})"
)
_WORKER: Final = r"W-\d{1,5}-(?P<model>[^\s,]{1,192}?)_(?P<model_version>[^\s,_]{1,32}?)"
_METRIC: Final = (
    rf"(?:(?P<metric>[A-Za-z][\w-]{{0,127}})\.(?P<unit>[A-Za-z]{{1,32}}):(?P<value>-?{NUMBER})"
    rf"|{_WORKER}\.ms:(?P<metric_WorkerLoadTime>{NUMBER}))"
    r"\|#(?P<dimensions>[^|]{0,1024})"
    r"(?:\|#type:(?P<type>[A-Z]{1,16}))?\|#hostname:(?P<hostname>[^,|\s]{1,255})"
    r"(?:,requestID:(?P<request_id>[^,\s]{1,256}))?(?:,timestamp:(?:\d{1,20}|null))?"
)

PRESET: Final = Preset(
    lines=(
        form(rf"{_HEAD}(?P<logger>ACCESS_LOG) - {_ACCESS}"),
        form(rf"{TIME} - {_ACCESS}", logger="ACCESS_LOG", level="info"),
        form(rf"{_HEAD}(?P<logger>TS_METRICS|MODEL_METRICS) - {_METRIC}"),
        form(rf"{TIME} - {_METRIC}", level="info"),
        form(rf"{_HEAD}(?P<logger>[\w.$]{{1,256}}) - {REST}"),
    ),
    within={
        "path": (
            *MODEL_PATHS,
            form(r"/(?:models|explanations)/(?P<model>[^/]{1,256})(?:/(?P<model_version>[^/]{1,64}))?"),
        ),
        "thread": (form(rf"{_WORKER}(?:-stdout|-stderr)?"),),
        "dimensions": (
            form(
                r"(?:ModelName|model_name):(?P<model>[^,\s]{1,256})"
                r"(?:,model_version:(?:default|(?P<model_version>[^,\s]{1,64})))?(?:,.*)?"
            ),
            form(rf"WorkerName:{_WORKER},.*"),
        ),
        "message": (
            form(r"Sending response for jobId (?P<request_id>\S{1,256})"),
            form(r"Model (?P<model>\S{1,256}) (?:loaded|unregistered)\."),
            form(
                r"(?:Adding new version|Setting default version to) (?P<model_version>\S{1,64}) "
                r"for model (?P<model>\S{1,256})"
            ),
            form(r"Removed model: (?P<model>\S{1,256}) version: (?P<model_version>\S{1,64})"),
        ),
    },
)
