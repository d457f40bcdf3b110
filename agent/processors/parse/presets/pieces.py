"""Pieces of expressions that several servers' lines have in common."""

from typing import Final

from agent.processors.parse.presets.preset import Form, form

TIME: Final = r"(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)"
LEVEL: Final = r"(?P<level>[A-Z]{4,12})"
NUMBER: Final = r"\d{1,20}(?:\.\d{1,30})?(?:e[+-]?\d{1,3})?"
CLIENT: Final = r"(?P<client>[^\s/]{1,255}):(?P<client_port>\d{1,5})"
TARGET: Final = r'(?P<path>[^\s?"]{1,8192})(?:\?(?P<query>[^\s"]{0,8192}))?'
REQUEST: Final = rf'"(?P<method>[A-Z]{{1,20}}) {TARGET} HTTP/(?P<http>\d(?:\.\d)?)"'
REST: Final = r"(?P<message>.*)"

UVICORN_LEVEL: Final = rf"(?=.{{9}} ){LEVEL}: {{1,5}}"
"""A level as uvicorn sets it: filled up to nine characters."""
UVICORN_ACCESS: Final = rf'(?:{CLIENT})? ?- {REQUEST} (?P<status>\d{{3}})(?: [^"]{{0,64}})?'
UVICORN: Final = (
    form(rf"{UVICORN_LEVEL}{UVICORN_ACCESS}", logger="uvicorn.access"),
    form(rf"{UVICORN_LEVEL}{REST}", logger="uvicorn.error"),
)
"""uvicorn's default format (``uvicorn/config.py``, ``LOGGING_CONFIG``), which servers that stand on it print too."""

MODEL_PATHS: Final[tuple[Form, ...]] = (
    form(
        r"/v[12]/models/(?P<model>[^/:%]{1,256})(?:/versions/(?P<model_version>[^/:%]{1,64}))?"
        r"(?:[:/]|%3[Aa])[a-z]{1,16}"
    ),
    form(r"/predictions/(?P<model>[^/]{1,256})(?:/(?P<model_version>[^/]{1,64}))?"),
)
"""Paths that name a model: the prediction protocols, version 1 and 2, and TorchServe's own."""
