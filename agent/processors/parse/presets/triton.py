"""Triton Inference Server: ``I1122 10:00:00.123456 1 server.cc:592] message``, and its ISO 8601 form.

``triton-inference-server/core``, ``src/logging.cc``; in newer versions the message stands in quotes. The times have no
year.
"""

from typing import Final

from agent.processors.parse.presets.pieces import REST
from agent.processors.parse.presets.preset import Preset, form

_WHERE: Final = r"(?P<pid>\d{1,10}) (?P<file>[^\s:\]]{1,256}):(?P<lineno>\d{1,9})\]"

PRESET: Final = Preset(
    lines=(
        form(rf"(?P<level>[VIWEF])(?P<time_glog>\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}}) +{_WHERE} {REST}"),
        form(
            rf"(?P<time>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ) "
            rf"(?P<level>[VIWEF]|INFO|WARNING|ERROR|VERBOSE) {_WHERE} {REST}"
        ),
    ),
    within={
        "message": (
            form(
                r'"?(?:successfully loaded|failed to load|successfully unloaded) \'(?P<model>[^\']{1,256})\''
                r'(?: version (?P<model_version>\d{1,18}).{0,1024})?"?'
            ),
            form(r'"?loading: (?P<model>[^\s:"]{1,256}):(?P<model_version>\d{1,18})"?'),
        ),
    },
)
