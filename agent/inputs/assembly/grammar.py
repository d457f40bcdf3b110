r"""Which lines belong together: the blocks that model servers and their languages print.

A block is known by its lines alone, never by when they came or how they were cut into reads. It begins with a line
that has a phase of its own (``first``), and goes on as long as each line has a place in the phase reached (``then``): a
table of phases, each one expression whose group names are the phase that follows.

=========== ========================================================================================================
Python      tracebacks, chained ones, exception groups, what ``faulthandler`` writes, notes of PyTorch on CUDA errors
Java        an exception's line, its frames, ``Caused by``, ``Suppressed``
Go          panics and fatal errors, with the goroutines behind them
C++         ``terminate called …``, PyTorch's frames, failed checks; assertions of CUDA kernels, all in one
Triton      the tables it prints at its start, ``At:`` with the frames of a Python model
=========== ========================================================================================================

A line of text with the level warning or above may be the head of what follows it (``logging.exception`` writes the
message before the traceback); only such a line is held until the next one has come.
"""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Final, Protocol

from agent.config import pattern

HEAD_BYTES: Final = 200
"""How far into a line its level is looked for."""

_GLOG: Final = rb"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{1,9} +\d+ "
_LEVEL_WORD: Final = rb"(?:WARN(?:ING)?|ERROR|ERR|CRITICAL|CRIT|FATAL|SEVERE|PANIC|EXCEPTION)"
_head: Final = re.compile(
    rb"(?:\b|\x1b\[[0-9;]*m)%b(?:\b|\x1b)|^[WEF]\d{4} \d\d:|\[(?:warn|warning|error|critical|fatal|exception) *[\]\x1b]"
    rb"|\blevel=\"?(?:warn|error|critical|fatal|panic)|: panic serving |^Exception (?:in|ignored in)[ :]" % _LEVEL_WORD
).search

_INDENT: Final = rb"[ \t]+\S"
_BLANK: Final = rb"[ \t]*$"
_TRACEBACK: Final = rb"Traceback \(most recent call last\):|Stack \(most recent call last\):"
_GROUP: Final = rb"[ \t]+\+ Exception Group Traceback \(most recent call last\):"
_SYNTAX: Final = rb'  File "[^"]+", line \d+$'
_LOGGING: Final = rb"--- Logging error ---$"
_RAISED: Final = rb"(?!(?:TRACE|DEBUG|INFO|NOTICE|%b)\b)[A-Za-z_\x80-\xff][\w.\x80-\xff]*(?::.*)?$" % _LEVEL_WORD
_CHAIN: Final = rb"(?:During handling of the above|The above) exception"
_NOTES: Final = (
    rb"CUDA kernel errors might be|For debugging consider|Compile with `TORCH_USE|Device-side assert"
    rb"|Exception raised from |frame #\d+: |Last error:|Search for `cuda"
)
_JAVA: Final = (
    rb'(?:Exception in thread "[^"]*" )?(?:[A-Za-z_$][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error|Throwable)(?::.*)?$'
)
_FRAME: Final = rb"[ \t]+at [\w$.<>/@]+\(|[ \t]+(?:\.\.\. \d+ |Suppressed: )|Caused by: "
_GOROUTINE: Final = rb"goroutine \d+ [^\[\]\n]*\[[^\[\]\n]*\]:$"
_assertion: Final = re.compile(rb": block: \[\d+,\d+,\d+\], thread: \[\d+,\d+,\d+\] Assertion ").search
_ASSERTED: Final = b"], thread: ["
_THREAD: Final = rb"(?:Current t|T)hread 0x[0-9a-f]+"
_CHECK: Final = rb"\*\*\* (?:Check failure|Aborted at|SIG\w+)"
_TABLE: Final = rb"[+|]"


def _phase(**then: bytes) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?P<%b>%b)" % (name.encode(), text) for name, text in then.items()), re.DOTALL)


_FIRST: Final = _phase(
    py=_TRACEBACK + rb"|" + _SYNTAX + rb"|" + _LOGGING,
    group=_GROUP,
    fatal=rb"Fatal Python error: ",
    go=rb"panic: |fatal error: |SIG[A-Z]+: ",
    routine=_GOROUTINE,
    cpp=rb"terminate called |Exception raised from |" + _CHECK,
    title=_GLOG + rb"\S+\] ?$",
    java=_JAVA,
)

_THEN: Final = {
    "head": _phase(
        py=_TRACEBACK,
        group=_GROUP,
        java=_FRAME + rb"|" + _JAVA,
        routine=_GOROUTINE,
        raised=_NOTES,
        cpp=_CHECK,
        head=rb"(?:future|task|handle): <",
        below=_BLANK,
    ),
    "below": _phase(frames=rb"At:$"),
    "frames": _phase(frames=_INDENT),
    "title": _phase(table=_TABLE),
    "table": _phase(table=_TABLE),
    "py": _phase(group=_GROUP, py=_INDENT + rb"|" + _TRACEBACK, raised=_RAISED),
    "raised": _phase(
        raised=_INDENT + rb"|" + _NOTES + rb"|Message: |Arguments: ",
        py=rb"Call stack:$",
        gap=_BLANK,
        chain=_CHAIN,
    ),
    "gap": _phase(gap=_BLANK, chain=_CHAIN, raised=_NOTES),
    "chain": _phase(chain=_BLANK, py=_TRACEBACK, group=_GROUP),
    "group": _phase(gap=_BLANK, group=_INDENT),
    "fatal": _phase(fatal=_BLANK + rb"|" + _INDENT + rb"|" + _THREAD + rb"|Extension modules: |Python runtime state: "),
    "java": _phase(java=_INDENT + rb"|Caused by: |\.\.\. \d+ ", raised=_NOTES),
    "go": _phase(
        go=_BLANK + rb"|" + _INDENT + rb"|\[signal |panic: |runtime: |\[originating|goroutine running on",
        routine=_GOROUTINE,
    ),
    "routine": _phase(
        routine=_BLANK
        + rb"|"
        + _INDENT
        + rb"|"
        + _GOROUTINE
        + rb"|created by |exit status \d+$|\.\.\.additional frames"
        rb"|r\w{1,5} +0x[0-9a-f]+$|[A-Za-z_][\w./%@\x80-\xff-]*[(\[].*\)$",
    ),
    "cpp": _phase(cpp=_BLANK + rb"|" + _INDENT + rb"|" + _NOTES + rb"|" + _CHECK + rb"|PC: @|Aborted "),
}

# Every second line of a block begins like this, or the first one does. Looking for one byte first, the engine skips
# from line to line at the speed of memory.
_joins: Final = re.compile(
    rb"\n(?!\d)(?:[ \t+|*\n]|--- Log|Traceback|Stack \(|Caused by|\.\.\. |goroutine|panic: |runtime: |\[signal|\[orig"
    rb"|exit status|CUDA k|For debug|Compile w|Device-side|frame #|Last error|Search for|Exception |PC: @|Aborted "
    rb"|future: |task: |handle: |During hand|The above|Thread 0x|Current thr|Extension mod|Python runtime"
    rb"|[A-Za-z_$][\w$]*\.[\w$.]*(?:Exception|Error|Throwable))"
).search
_first_byte: Final = itemgetter(0)
_JSON: Final = frozenset(b"{")


class Rules(Protocol):
    """Which lines belong together."""

    def nothing_in(self, lines: Sequence[bytes]) -> bool:
        """Whether no two of these lines belong together, told for all at once; False if in doubt."""
        ...

    def first(self, line: bytes) -> str | None:
        """The phase in which a block is that may begin with this line; None if none may."""
        ...

    def then(self, phase: str, line: bytes) -> str | None:
        """The phase of a block after one more line; None if the line does not belong to it."""
        ...


class Known:
    """The blocks above."""

    def nothing_in(self, lines: Sequence[bytes]) -> bool:
        """At 0.02 µs per line of JSON, 0.1 per line of text."""
        try:
            if set(map(_first_byte, lines)) <= _JSON:
                return True
        except IndexError:  # an empty line
            pass
        text = b"\n".join((b"", *lines, b"."))
        return _joins(text) is None and _ASSERTED not in text

    def first(self, line: bytes) -> str | None:
        """A line of JSON is never held, nor is text that says nothing of a failure."""
        if line.startswith(b"{"):
            return None
        found = _FIRST.match(line)
        if found:
            return found.lastgroup
        if _ASSERTED in line and _assertion(line):
            return "asserted"
        return "head" if _head(line, 0, HEAD_BYTES) else None

    def then(self, phase: str, line: bytes) -> str | None:
        """By the table; the assertions of a kernel's threads follow each other."""
        if phase == "asserted":
            return phase if _ASSERTED in line and _assertion(line) else None
        found = _THEN[phase].match(line)
        return found.lastgroup if found else None


class Started:
    """What stands between two lines in which ``start`` is found."""

    def __init__(self, start: str) -> None:
        self._start = pattern.compile(start).search

    def nothing_in(self, lines: Sequence[bytes]) -> bool:
        """Any line may go on."""
        return False

    def first(self, line: bytes) -> str | None:
        """A line before the first start begins an event as well: it belongs to one that was not seen."""
        return "started"

    def then(self, phase: str, line: bytes) -> str | None:
        """Every line that does not begin one."""
        return None if self._start(line) else phase


class Alone:
    """No two lines belong together."""

    def nothing_in(self, lines: Sequence[bytes]) -> bool:
        """Never."""
        return True

    def first(self, line: bytes) -> str | None:
        """None may."""
        return None

    def then(self, phase: str, line: bytes) -> str | None:
        """None does."""
        return None
