r"""Events of several lines: the head is read as any line, what follows it as a traceback, or as more of the message.

Where a traceback begins is told by its first line, wherever that stands in the event; what stands before it is the
head. A traceback without a head is an error by itself, and its message is what was raised.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from agent.processors.normalise.exceptions import MAX_MESSAGE_CHARS, Raised, raised
from agent.processors.normalise.levels import SEVERITY
from agent.processors.normalise.tolerant import decode, walk
from agent.values import quote, unquote

ReadLine = Callable[[str], dict[str, bytes]]
"""Reads a single line of text into places: an ``@timestamp``, nearly always a ``message``, and what else it sees."""

_TRACE: Final = re.compile(
    r"^(?:(?P<python>(?:Traceback|Stack|[ \t]+\+ Exception Group Traceback) \(most recent call last\):"
    r'|  File "[^"\n]+", line \d+$|--- Logging error ---$)'
    r'|(?P<java>(?:Exception in thread "[^"\n]*" )?(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable)'
    r"(?::.*)?(?=\n[ \t]|\nCaused by: )|[ \t]+at [\w$.<>/@]+\(|Caused by: )"
    r"|(?P<go>panic: |fatal error: |goroutine \d+ [^\[\]\n]*\[[^\[\]\n]*\]:$)"
    r"|(?P<native>Fatal Python error: |terminate called |Exception raised from |frame #\d+: |\*\*\* Check failure"
    r"|CUDA kernel errors might be|At:$)"
    r"|(?P<kernel>.{0,512}: block: \[\d+,\d+,\d+\], thread: \[\d+,\d+,\d+\] Assertion ))",
    re.MULTILINE,
)
_JAVA: Final = re.compile(r'(?:Exception in thread "[^"\n]*" )?((?:[\w$]+\.)+[A-Z][\w$]*)(?:: (.*))?')
_IN_MESSAGE: Final = re.compile(r"\b((?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*(?:Exception|Error))(?:: ?(.*))?$")
_GO: Final = re.compile(r"(panic|fatal error): (.*)")
_FATAL: Final = re.compile(r"(Fatal Python error): (.*)")
_CPP: Final = re.compile(r"terminate called after throwing an instance of '([^'\n]+)'\n *what\(\): +(.*)")
_ASSERTION: Final = re.compile(r"Assertion `?(.*?)[`'] failed")
_NEWLINES: Final = re.compile(r"\s*\n\s*")
_STRING: Final = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")', re.DOTALL)


def compacted(block: bytes) -> bytes | None:
    """An object written over several lines, as one line. None if it is none, not even a tolerated one."""
    try:
        line = bytes(msgspec.json.format(block, indent=-1))
        decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Constants such as NaN, or broken: a newline between values is space, one in a string is for the walker.
        pieces = _STRING.split(block.decode(errors="replace"))
        pieces[::2] = [_NEWLINES.sub(" ", piece) for piece in pieces[::2]]
        text = "".join(pieces)
        try:
            walk(text)
        except (ValueError, RecursionError):
            return None
        line = text.encode()
    return line


def read_block(block: str, read_line: ReadLine) -> dict[str, bytes]:
    """The places an event of several lines fills."""
    begin = _TRACE.search(block)
    if begin is None:
        head, _, rest = block.partition("\n")
        places = read_line(head)
        places["message"] = quote(_message(places) + "\n" + rest)
        return places
    head, trace = block[: begin.start()].rstrip("\n"), block[begin.start() :]
    error = _error(begin.lastgroup or "", trace)
    if head:
        first, _, rest = head.partition("\n")
        places = read_line(first)
        message = _message(places)
        if error is None:
            error = _said(message)
        if rest:
            places["message"] = quote(f"{message}\n{rest}")
    else:
        places = read_line("")
        places["message"] = quote(_summary(error, trace))
    if "log.level" not in places:
        places |= {"log.level": b'"error"', "event.severity": b"%d" % SEVERITY["error"]}
    places["error.stack_trace"] = quote(trace)
    if error is not None:
        places["error.type"], places["error.message"] = quote(error.type), quote(error.message[:MAX_MESSAGE_CHARS])
    return places


def _message(places: dict[str, bytes]) -> str:
    """The message read from the head; parsers may find none in it."""
    return unquote(bytes(places["message"])) if "message" in places else ""


def _summary(error: Raised | None, trace: str) -> str:
    if error is None:
        return trace.partition("\n")[0]
    return f"{error.type}: {error.message}" if error.message else error.type


def _error(kind: str, trace: str) -> Raised | None:
    """What a trace says was raised."""
    match kind:
        case "python":
            return raised(trace)
        case "java":
            return _named(_JAVA.match(trace))
        case "go":
            return _named(_GO.match(trace))
        case "native":
            return _named(_FATAL.match(trace) or _CPP.match(trace))
        case "kernel":
            found = _ASSERTION.search(trace)
            return Raised("Assertion", found[1]) if found else None
    return None


def _said(message: str) -> Raised | None:
    """What the head says was raised: some formats write the exception there and the frames below."""
    return _named(_IN_MESSAGE.search(message))


def _named(found: re.Match[str] | None) -> Raised | None:
    return Raised(found[1], found[2] or "") if found else None
