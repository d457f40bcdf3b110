"""MLServer: ``2026-11-22 10:00:00,123 [mlserver][model:version] INFO - message``, as in ``mlserver/logging.py``, and
uvicorn's lines."""

from typing import Final

from agent.processors.parse.presets.pieces import LEVEL, MODEL_PATHS, REST, TIME, UVICORN
from agent.processors.parse.presets.preset import Preset, form

PRESET: Final = Preset(
    lines=(
        form(
            rf"{TIME} \[(?P<logger>[\w.-]{{1,128}})\]"
            rf"(?:\[(?P<model>[^:\]]{{1,256}})(?::(?P<model_version>[^\]]{{1,64}}))?\])? {LEVEL} - {REST}"
        ),
        *UVICORN,
    ),
    within={"path": MODEL_PATHS},
)
