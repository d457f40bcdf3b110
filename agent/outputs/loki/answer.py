"""What Loki's answer to a push says. Pure.

A push is not all or nothing. Lines that Loki refuses for what they are (too old, too far behind their stream, too long)
make the whole answer a 400, and all other lines of the push are taken (Loki 3, ``pkg/distributor/distributor.go``,
``pkg/ingester/stream.go``). The answer quotes some of the refused lines, not all of them:

    entry for stream '{a="b"}' has timestamp too old: TIME, oldest acceptable timestamp is: TIME
    entry with timestamp TIME ignored, reason: 'entry too far behind, … oldest acceptable timestamp is: TIME',
    … total ignored: 3 out of 10 for stream: {a="b"}

The limit of the first kind is the same for all lines, so it names them: all that are older. When nothing else is in the
answer, and they are as many as it counts, all others are there. In the second kind the limit moves while a push is
worked through; the lines older than it are the refused ones if they are as many as it says, but what else was refused
it hides, so the others are sent once more. Where neither tells, the push is halved until the culprit is alone.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from agent.errors import NoAnswer, Paused, SendError
from agent.outputs.http_client.refusal import refusal, said
from agent.outputs.instant import unix_ns
from agent.outputs.loki.push import Entry, Labels

MAX_BODY_CHARS: Final = 64 * 1024
"""So much of an answer is looked at."""


_TOO_OLD: Final = re.compile(r"has timestamp too old: [^,]+, oldest acceptable timestamp is: ([^\s',]+)")
_TOO_FAR_BEHIND: Final = re.compile(r"entry too far behind\b[^']*?oldest acceptable timestamp is: ([^\s',]+)")
_ALL_TOO_OLD: Final = re.compile(
    r"(?>(?:^|; )(?:\d{1,9} errors like: )?entry for stream '\{.*?\}' has timestamp too old: [^,]+, "
    r"oldest acceptable timestamp is: [^\s';,]+)++\s*"
)
_COUNTED: Final = re.compile(r"(?:^|; )(?:(\d{1,9}) errors like: )?entry for stream '")
_IGNORED: Final = re.compile(r"total ignored: (\d{1,9}) out of (\d{1,9}) for stream: (\{.*\})")

_SERVICE_NAME: Final = re.compile(r'(?:, |(?<=\{))service_name="(?:[^"\\]|\\.)*"')

_LABELS: Final = re.compile(r'\{(?:[^{}"]|"(?:[^"\\]|\\.)*+")*+\}')

_NOT_THE_RECORDS: Final = (
    "disallowed",
    "missing required labels",
    "label pair is required",
    "label names; limit",
    "no org id",
)
"""What Loki says of a push that no line of it is to blame for, in a 400: its settings and ours do not fit."""


def is_taken(status: int, headers: Mapping[str, str]) -> bool:
    """Whether every line was taken. A success with a page of HTML is somebody else's. Raises ``NoAnswer`` then.

    A tenant whose ingestion is blocked is answered 260, and nothing is taken."""
    if status not in (200, 204):
        return False
    if headers.get("content-type", "").lower().startswith("text/html"):
        raise NoAnswer("the answer is a page of HTML: is this address Loki's?")
    return True


def failure(status: int, headers: Mapping[str, str], body: bytes) -> SendError:
    """The error that a status other than success stands for."""
    text = said(body)
    own_words = _LABELS.sub("", text)  # labels are quoted, and theirs are the records'
    if status == 400 and any(words in own_words for words in _NOT_THE_RECORDS):
        return Paused(f"Loki takes no push like this: {text}")
    return refusal(status, headers, text or f"status {status}", "Loki")


class Refusals(NamedTuple):
    """Which entries of a push a 400 certainly refused; none when there is no telling. Unless ``are_all``, others may
    have been refused too, and what is left is to be sent again."""

    entries: list[int]
    are_all: bool


def refusals(body: bytes, entries: Sequence[Entry]) -> Refusals:
    """What a 400 says of the entries of its push."""
    text = body.decode("utf-8", "replace")[:MAX_BODY_CHARS]
    refused: set[int] = set()
    oldest = [limit for found in _TOO_OLD.finditer(text) if (limit := unix_ns(found[1])) is not None]
    if oldest:
        limit = min(oldest)
        refused |= {i for i, entry in enumerate(entries) if entry.time_ns < limit}
    behind = [limit for found in _TOO_FAR_BEHIND.finditer(text) if (limit := unix_ns(found[1])) is not None]
    ignored = _IGNORED.search(text)
    if behind and ignored is not None:
        of_stream = [i for i, entry in enumerate(entries) if _is_called(entry.labels, ignored[3].strip())]
        older = [i for i in of_stream if entries[i].time_ns < max(behind)]
        if len(older) == int(ignored[1]) and len(of_stream) == int(ignored[2]):
            refused |= {*older}
    counted = sum(int(n or 1) for n in _COUNTED.findall(text))
    are_all = len(text) < MAX_BODY_CHARS and _ALL_TOO_OLD.fullmatch(text) is not None and counted == len(refused)
    return Refusals(sorted(refused), are_all)


def _is_called(labels: Labels, name: str) -> bool:
    """Whether this is how Loki writes these labels. Where there is no ``service_name`` it adds one of its own."""
    if all(label != "service_name" for label, _ in labels):
        name = _SERVICE_NAME.sub("", name).replace("{, ", "{")
    return _stream_name(labels) == name


def _stream_name(labels: Labels) -> str:
    inner = ", ".join(f"{name}={_go_quoted(value)}" for name, value in labels)
    return f"{{{inner}}}"


def _go_quoted(value: str) -> str:
    """A string as Go quotes it, where that is what JSON does too: a value with anything odd in it matches nothing."""
    return msgspec.json.encode(value).decode()
