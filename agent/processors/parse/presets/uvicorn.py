"""uvicorn: ``INFO:     127.0.0.1:54321 - "GET / HTTP/1.1" 200 OK``, and with a time before it."""

from typing import Final

from agent.processors.parse.presets.pieces import LEVEL, MODEL_PATHS, REST, TIME, UVICORN, UVICORN_ACCESS
from agent.processors.parse.presets.preset import Preset, form

PRESET: Final = Preset(
    lines=(
        *UVICORN,
        form(rf"\[?{TIME}\]?(?: -)? {LEVEL}:? {{1,10}}(?:- )?{UVICORN_ACCESS}", logger="uvicorn.access"),
        form(rf"{TIME} - (?P<logger>uvicorn[.\w]{{0,64}}) - {LEVEL} - {UVICORN_ACCESS}"),
        form(rf"{TIME} - (?P<logger>uvicorn[.\w]{{0,64}}) - {LEVEL} - {REST}"),
    ),
    within={"path": MODEL_PATHS},
)
