"""BentoML: ``2026-11-22T10:00:00+0000 [INFO] [component] message (trace=…,span=…,sampled=0,service.name=…)``.

``bentoml/_internal/log.py``, and for requests ``bentoml/_internal/server/http/access.py``. In runners the client is
``_``; older versions do not name the service.
"""

from typing import Final

from agent.processors.parse.presets.pieces import LEVEL, NUMBER, REST, TIME
from agent.processors.parse.presets.preset import Preset, form

_TRACE: Final = (
    r"\(trace=(?P<trace_id>\w{1,64}),span=(?P<span_id>\w{1,64}),sampled=(?P<sampled>\w{1,8})"
    r"(?:,service\.name=(?P<service>[^,)]{1,256}))?\)"
)
_HEAD: Final = rf"{TIME} \[{LEVEL}\] \[(?P<component>[^\]]{{1,256}})\] "
_TYPE: Final = r"[^,)]{0,256}"

PRESET: Final = Preset(
    lines=(
        form(
            rf"{_HEAD}(?:_|(?P<client>[^\s/]{{1,255}}):(?P<client_port>\d{{1,5}})) "
            r"\(scheme=[a-z]{1,8},method=(?P<method>[A-Z]{1,20}),path=(?P<path>[^,)\s]{1,8192}),"
            rf"type=(?P<request_type>{_TYPE}),length=(?P<request_bytes>\d{{0,18}})\) "
            rf"\(status=(?P<status>\d{{3}}),type=(?P<response_type>{_TYPE}),length=(?P<response_bytes>\d{{0,18}})\) "
            rf"(?P<duration_ms>{NUMBER})ms(?: {_TRACE})?"
        ),
        form(rf"{_HEAD}{REST} {_TRACE}"),
        form(rf"{_HEAD}{REST}"),
    ),
)
