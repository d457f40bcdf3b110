"""Something that writes, for every input: what the suite of `test_inputs.py` runs over."""

from tests.contract.sources.cri import CriSource
from tests.contract.sources.exec import ExecSource
from tests.contract.sources.file import FileSource
from tests.contract.sources.http import HttpSource
from tests.contract.sources.journald import JournaldSource
from tests.contract.sources.otlp import OtlpSource
from tests.contract.sources.source import Source
from tests.contract.sources.stdin import StdinSource
from tests.contract.sources.tcp import TcpSource
from tests.contract.sources.udp import UdpSource
from tests.contract.sources.unix import UnixDatagramSource, UnixSource

SOURCES: list[type[Source]] = [
    CriSource,
    ExecSource,
    FileSource,
    HttpSource,
    JournaldSource,
    OtlpSource,
    StdinSource,
    TcpSource,
    UdpSource,
    UnixSource,
    UnixDatagramSource,
]

__all__ = ["SOURCES", "Source"]
