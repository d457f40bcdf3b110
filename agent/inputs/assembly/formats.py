r"""What container runtimes write around a line, told block by block.

* **CRI** (containerd's ``internal/cri/io/logger.go``, CRI-O alike): ``TIME STREAM TAG CONTENT``. The time is RFC 3339
  with up to nine digits of fraction, the stream ``stdout`` or ``stderr``, the tag ``F``, or ``P`` for a piece of a line
  that goes on in the next record of the stream; more tags may follow behind a colon.
* **docker's json-file**: ``{"log":"CONTENT\n","stream":"stdout","time":"TIME"}``. A piece has no ``\n`` at its end.

Nothing is looked at line by line unless a block holds a line of another form.
"""

import re
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final, NamedTuple

import msgspec

from agent.inputs.assembly.config import Format
from agent.processors.normalise.times import CANONICAL

STREAMS: Final = frozenset((b"stdout", b"stderr"))
_TAGS: Final = frozenset((b"P", b"F"))
_time: Final = re.compile(CANONICAL.encode()).fullmatch
# The possessive repeat keeps no way back: a block costs no more memory than its text.
_times: Final = re.compile(rb"(?:%b\n)*+" % CANONICAL.encode()).fullmatch


class Decoded(NamedTuple):
    """The records of a block, as columns. ``streams`` are ``b""`` for a line that is of no such format; its content is
    the whole line. ``times`` are JSON text, or ``b""``. ``whole`` is False for a piece that goes on."""

    contents: Sequence[bytes]
    streams: Sequence[bytes]
    times: Sequence[bytes]
    whole: Sequence[bool]


class _DockerLine(msgspec.Struct, gc=False):
    log: str
    stream: str
    time: str


_decode_docker: Final[Callable[[bytes], _DockerLine]] = msgspec.json.Decoder(_DockerLine).decode
_One = tuple[bytes, bytes, bytes, bool]


def decode(lines: Sequence[bytes], form: Format) -> Decoded:
    """The lines' contents, and what the runtime says of them."""
    if not lines or form == "plain":
        return _columns(map(_unknown, lines))
    whole_block = _cri_block(lines) if form != "docker" and not lines[0].startswith(b"{") else None
    if whole_block is not None:
        return whole_block
    one = {"cri": _cri, "docker": _docker}.get(form, _either)
    return _columns(map(one, lines))


def _columns(records: "Sequence[_One] | map[_One]") -> Decoded:
    found = list(records)
    if not found:
        return Decoded((), (), (), ())
    return Decoded(*zip(*found, strict=True))


def _cri_block(lines: Sequence[bytes]) -> Decoded | None:
    """The usual case: every line is of the format. None if one is not."""
    parts = list(map(bytes.split, lines, repeat(b" "), repeat(3)))
    if set(map(len, parts)) != {4}:
        return None
    times, streams, tags, contents = zip(*parts, strict=True)
    if not (STREAMS.issuperset(streams) and _TAGS.issuperset(tags)):
        return None
    if not _times(b"\n".join(times) + b"\n"):
        return None
    quoted = (b'"' + b'"\n"'.join(times) + b'"').split(b"\n")
    whole = [True] * len(lines) if b"P" not in tags else [tag == b"F" for tag in tags]
    return Decoded(contents, streams, quoted, whole)


def _unknown(line: bytes) -> _One:
    return line, b"", b"", True


def _cri(line: bytes) -> _One:
    time, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    tags, _, content = rest.partition(b" ")
    tag = tags.partition(b":")[0]
    if stream in STREAMS and tag in _TAGS and _time(time):
        return content, stream, b'"%b"' % time, tag == b"F"
    return _unknown(line)


def _docker(line: bytes) -> _One:
    try:
        record = _decode_docker(line)
        content, stream, time = record.log.encode(), record.stream.encode(), record.time.encode()
    except (msgspec.DecodeError, UnicodeError):
        return _unknown(line)
    if stream not in STREAMS or not _time(time):
        return _unknown(line)
    whole = content.endswith(b"\n")
    if whole:
        content = content[: -2 if content.endswith(b"\r\n") else -1]
    return content, stream, b'"%b"' % time, whole


def _either(line: bytes) -> _One:
    return _docker(line) if line.startswith(b"{") else _cri(line)
