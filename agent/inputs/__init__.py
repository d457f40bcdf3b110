"""Inputs: where records come from. One module or folder per kind, its config struct beside it."""

from typing import get_args

from agent.inputs.exec.config import ExecConfig
from agent.inputs.file.config import FileConfig
from agent.inputs.http.config import HttpConfig
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.otlp.config import OtlpConfig
from agent.inputs.stdin.config import StdinConfig
from agent.inputs.tcp.config import TcpConfig
from agent.inputs.udp.config import UdpConfig
from agent.inputs.unix.config import UnixConfig

InputConfig = (
    ExecConfig
    | FileConfig
    | HttpConfig
    | JournaldConfig
    | OtlpConfig
    | StdinConfig
    | TcpConfig
    | UdpConfig
    | UnixConfig
)
"""What an entry of ``inputs`` can be, told apart by its ``type``."""

INPUTS: tuple[type[InputConfig], ...] = get_args(InputConfig)
