"""gunicorn: the access log in the common and combined log formats, and ``[time] [pid] [LEVEL] message``.

``gunicorn/glogging.py`` and the setting ``access_log_format``. A worker of uvicorn's class prints the latter's access
log, without a level when gunicorn's handlers write it.
"""

from typing import Final

from agent.processors.parse.presets.pieces import (
    LEVEL,
    MODEL_PATHS,
    REQUEST,
    REST,
    TIME,
    UVICORN,
    UVICORN_ACCESS,
)
from agent.processors.parse.presets.preset import Preset, form

_QUOTED: Final = r'[^"\\]{0,2048}(?:\\.[^"\\]{0,2048}){0,64}'
_ACCESS: Final = (
    r"(?P<client>\S{0,255}) \S{1,255} (?P<user>\S{1,255}) "
    r"\[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rf"{REQUEST} (?P<status>\d{{3}}) (?P<response_bytes>\d{{1,18}}|-)"
)

PRESET: Final = Preset(
    lines=(
        form(rf"\[?{TIME}\]? \[(?P<pid>\d{{1,10}})\] \[{LEVEL}\] {REST}", logger="gunicorn.error"),
        form(
            rf'{_ACCESS}(?: "(?P<referrer>{_QUOTED})" "(?P<user_agent>{_QUOTED})")?(?: .*)?',
            logger="gunicorn.access",
        ),
        form(UVICORN_ACCESS, logger="uvicorn.access"),
        *UVICORN,
    ),
    within={"path": MODEL_PATHS},
)
