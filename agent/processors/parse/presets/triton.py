"""Triton Inference Server: ``I1122 10:00:00.123456 1 server.cc:592] message``, and its ISO 8601 form.

``triton-inference-server/core``, ``src/logging.cc``; newer versions write the message as a JSON string. The times have
no year. With ``--log-verbose`` requests are there too.
"""

from typing import Final

from agent.processors.parse.presets.preset import Preset, form

_WHERE: Final = r"(?P<pid>\d{1,10}) (?P<file>[^\s:\]]{1,256}):(?P<lineno>\d{1,9})\]"
_MESSAGE: Final = r'(?:"(?P<quoted>.*)"|(?P<message>.*))'
_REQUEST: Final = r"\[request id: (?:<id_unknown>|(?P<request_id>[^\s\]]{1,256}))\]"

PRESET: Final = Preset(
    lines=(
        form(rf"(?P<level>[VIWEF])(?P<time_glog>\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}}) +{_WHERE} {_MESSAGE}"),
        form(
            rf"(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ) "
            rf"(?P<level>[VIWEF]|INFO|WARNING|ERROR|VERBOSE) {_WHERE} {_MESSAGE}"
        ),
    ),
    within={
        "message": (
            form(
                r"(?:successfully loaded|failed to load|successfully unloaded) '(?P<model>[^']{1,256})'"
                r"(?: version (?P<model_version>\d{1,18})(?:: .*)?)?"
            ),
            form(r"loading: (?P<model>[^\s:]{1,256}):(?P<model_version>\d{1,18})"),
            form(r"TRITONBACKEND_ModelInitialize: (?P<model>\S{1,256}) \(version (?P<model_version>\d{1,18})\)"),
            form(
                rf"{_REQUEST} prepared: \[\w{{1,64}}\] request id: [^,]{{0,256}}, model: (?P<model>[^\s,]{{1,256}}), "
                r"requested version: -?\d{1,18}, actual version: (?P<model_version>\d{1,18}), .*"
            ),
            form(rf"{_REQUEST} .*"),
            form(r"model (?P<model>[^\s,]{1,256}), instance \S{1,256}, executing \d{1,9} requests"),
            form(
                r"HTTP request: \d{1,4} (?P<path>"
                r"(?:/v2/(?:repository/)?models/(?P<model>[^\s/]{1,256})(?:/versions/(?P<model_version>\d{1,18}))?(?=/))?"
                r"\S{1,8192})"
            ),
        ),
    },
)
