"""TensorFlow Serving: ``2026-11-22 10:00:00.123456: I tensorflow_serving/core/….cc:123] message``, and what its parts
print.

TensorFlow's own logging (``tsl/platform/default/logging.cc``); Abseil's in newer versions, before it is set up with
seconds since 1970 (``I0000 00:00:1763805600.123456``), then with a date without a year; the HTTP server's
``[evhttp_server.cc : 245] NET_LOG: …``, and ``[warn] …`` of libevent below it.
"""

from typing import Final

from agent.processors.parse.presets.pieces import REST
from agent.processors.parse.presets.preset import Preset, form

_WHERE: Final = r"(?P<file>[^\s:\]]{1,256}):(?P<lineno>\d{1,9})\]"

PRESET: Final = Preset(
    lines=(
        form(
            r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?): (?P<level>[VIWEF]) "
            rf"(?:external/\w{{1,64}}/)?{_WHERE} {REST}"
        ),
        form(
            rf"(?P<level>[IWEF])0000 00:00:(?P<time_epoch>\d{{9,10}}\.\d{{1,9}}) +(?P<tid>\d{{1,10}}) {_WHERE} {REST}"
        ),
        form(
            rf"(?P<level>[IWEF])(?P<time_glog>\d{{4}} \d\d:\d\d:\d\d\.\d{{1,9}}) +(?P<tid>\d{{1,10}}) {_WHERE} {REST}"
        ),
        form(r"\[(?P<level>debug|warn|err)\] (?P<message>.*)", logger="libevent"),
        form(r"\[(?P<file>\w{1,64}\.cc) : (?P<lineno>\d{1,9})\] (?:NET_LOG|RAW): (?P<message>.*)"),
    ),
    within={
        "message": (
            form(r"[^{}]{0,256}\{name: (?P<model>[^\s}]{1,256}) version: (?P<model_version>\d{1,18})\}.*"),
            form(r" ?\(Re-\)adding model: (?P<model>\S{1,256})"),
        ),
    },
)
