"""KServe's Python servers.

``python/kserve/kserve/logging.py``: ``time process name level [file:function():line] message``, in older versions
without the file, and before that in Tornado's format; ``kserve.trace`` (milliseconds of each step; seconds of an
endpoint, by the clock and of the CPU); and uvicorn's access log with the process behind the client.
"""

from typing import Final

from agent.processors.parse.presets.pieces import CLIENT, LEVEL, MODEL_PATHS, NUMBER, REQUEST, REST, TIME, UVICORN
from agent.processors.parse.presets.preset import Preset, form

_PID: Final = r"(?:(?P<pid>\d{1,10}) )?"
_SECONDS: Final = r"(?P<endpoint>kserve[\w.:%-]{1,256}): "
_TAGS: Final = r" \['http_status:(?P<status>\d{3})', 'http_method:(?P<method>[A-Z]{1,20})', 'time:"

PRESET: Final = Preset(
    lines=(
        form(rf"{TIME} {_PID}(?P<logger>kserve\.trace) {REST}", level="info"),
        form(
            rf"{TIME} (?P<logger>uvicorn\.access) {LEVEL}: {{1,10}}(?:{CLIENT})? {_PID}- "
            rf"{REQUEST} (?P<status>\d{{3}})(?: [^\"]{{0,64}})?"
        ),
        form(rf"{TIME} {_PID}(?P<logger>uvicorn[.\w]{{0,64}}) {LEVEL}: {{1,10}}{REST}"),
        form(
            rf"{TIME} {_PID}(?P<logger>[\w.-]{{1,128}}) {LEVEL} "
            rf"\[(?:(?P<file>[^\s:\]]{{1,128}}):)?(?P<function>[\w<>]{{1,128}})\(\):(?P<lineno>\d{{1,9}})\] {REST}"
        ),
        form(
            r"\[(?P<level>[DIWEC]) (?P<time_tornado>\d{6} \d\d:\d\d:\d\d) "
            rf"(?P<logger>[\w.-]{{1,128}}):(?P<lineno>\d{{1,9}})\] {REST}"
        ),
        *UVICORN,
    ),
    within={
        "path": MODEL_PATHS,
        "message": (
            form(
                r"requestId: (?:N\.A\.|(?P<request_id>[^\s,]{1,256})), "
                rf"preprocess_ms: (?P<metric_preprocess_ms>{NUMBER}), "
                rf"explain_ms: (?P<metric_explain_ms>{NUMBER}), predict_ms: (?P<metric_predict_ms>{NUMBER}), "
                rf"postprocess_ms: (?P<metric_postprocess_ms>{NUMBER})"
            ),
            form(rf"{_SECONDS}(?P<duration_s>{NUMBER}){_TAGS}wall'\]"),
            form(rf"{_SECONDS}(?P<metric_cpu_seconds>{NUMBER}){_TAGS}cpu'\]"),
            form(rf"{_SECONDS}(?P<metric_seconds>{NUMBER})"),
        ),
    },
)
