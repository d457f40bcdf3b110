"""Presets: what model servers print, taken apart. One module per server, loaded when it is asked for."""

from importlib import import_module
from typing import Final

from agent.processors.parse.config import PresetName
from agent.processors.parse.presets.preset import Preset

PRESETS: Final[dict[PresetName, str]] = {
    "bentoml": "BentoML: requests with status and duration, messages with trace and span",
    "gunicorn": "gunicorn: access log (common and combined), its own messages",
    "kserve": "KServe's Python servers: messages, kserve.trace, access log",
    "mlserver": "MLServer (Seldon): messages with model and version, access log",
    "tensorflow_serving": "TensorFlow Serving, and TensorFlow itself",
    "torchserve": "TorchServe: access log, messages of server and models, metrics",
    "triton": "Triton: messages of the server and its back-ends",
    "uvicorn": "uvicorn: access log, its own messages",
    "vllm": "vLLM: messages, requests, throughput, access log",
}
"""The presets, and what each knows."""


def preset(name: PresetName) -> Preset:
    """The preset of that name."""
    found: Preset = import_module(f"{__name__}.{name}").PRESET
    return found
