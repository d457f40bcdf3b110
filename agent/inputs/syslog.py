"""Syslog messages: RFC 5424, and what RFC 3164 found in use.

``<PRI>1 TIME HOST APP PROCID MSGID [id name="value"] MESSAGE``
    RFC 5424. A missing field is ``-``. In values ``\\"``, ``\\\\`` and ``\\]`` are escapes. The message may begin with
    a byte order mark.
``<PRI>Mmm dd hh:mm:ss HOST TAG[PID]: MESSAGE``
    RFC 3164: no year and no zone. The year is the last in which the month was, or begins within a month. Taken too: a
    year or a fraction in the time, a time as in RFC 5424, no host (as programs write to ``/dev/log``), no tag, no time.

What cannot be taken apart behind the priority, or has a time that is none, is left whole. What the header says is
given as places of the document; the message itself is read later, like any line. The expressions are possessive: they
keep no way back, so their time is linear in the message.
"""

import re
import time
from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from agent.processors.normalise.clock import reading_of
from agent.processors.normalise.levels import SEVERITY, level_of_number
from agent.processors.normalise.times import CANONICAL, MONTHS, Moment, read_text
from agent.values import quote

MAX_PRIORITY: Final = 191

_WORD: Final = rb"([!-~]{1,255}+)"
_ELEMENT: Final = rb'\[[^\s="\]]{1,255}+(?: ++[^\s="\]]{1,255}+="(?:[^"\\]|\\.)*+")*+ *+\]'
_PRIORITY: Final = re.compile(rb"<(\d{1,3})>")
_MODERN: Final = re.compile(
    rb"1 %b %b %b %b %b(?: (-|(?:%b)++)(?: |$))?+ ?(.*)" % (_WORD, _WORD, _WORD, _WORD, _WORD, _ELEMENT), re.DOTALL
)
_PART: Final = re.compile(rb'\[([^\s="\]]++)|([^\s="\]\[]++)="((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE: Final = re.compile(rb'\\(["\\\]])')
_OLD_TIME: Final = re.compile(
    rb"(?:(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?:(?P<year>\d{4}) )?(?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
    rb"|(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,20}))(?::? |$)"
)
_TAG: Final = re.compile(rb"(?P<tag>[\w./@+()-]{1,128}+)(?:\[(?P<pid>[\w.-]{1,64}+)\])?:(?: |$)")
_TAG_WITH_PID: Final = re.compile(rb"(?P<tag>[\w./@+()-]{1,128}+)\[(?P<pid>\d{1,18})\]:(?: |$)")
_HOST: Final = re.compile(rb"([\w.:%-]{1,255}+) ")
_NUMBER: Final = re.compile(rb"\d{1,18}").fullmatch
_canonical: Final = re.compile(CANONICAL.encode()).fullmatch
_BOM: Final = b"\xef\xbb\xbf"


class Said(NamedTuple):
    """A message and what its header says of it, as JSON text by place."""

    message: bytes
    places: Mapping[str, bytes]


def read_syslog(data: bytes, zone: tzinfo | None, now_ns: int) -> Said | None:
    """Take a message apart; None if it is no syslog. ``zone`` is what times without one are in, ``now_ns`` (since
    1970) tells the year of those without one."""
    found = _PRIORITY.match(data)
    if found is None or (priority := int(found[1])) > MAX_PRIORITY:
        return None
    text, begin = data.rstrip(b"\0\r\n"), found.end()
    said = (_modern(text, begin, priority, zone) if text.startswith(b"1 ", begin) else None) or _old(
        text[begin:], {**_of_priority(priority)}, zone, now_ns
    )
    # A header alone says something as well; an empty line would be left out.
    return said if said.message and not said.message.isspace() else Said(data, said.places)


def _modern(text: bytes, begin: int, priority: int, zone: tzinfo | None) -> Said | None:
    found = _MODERN.fullmatch(text, begin)
    if found is None:
        return None
    when, host, app, process, kind, structured, message = found.groups()
    places = {**_of_header(priority, host, app, process, kind)}
    if _canonical(when):
        places["@timestamp"] = b'"%b"' % when
    elif when != b"-":
        moment = read_text(when.decode("ascii"), zone)
        if moment is None:
            return None
        places.update(reading_of(moment).filled)
    if structured and structured != b"-":
        places["log.syslog.structured_data"] = _structured(structured)
    return Said(message.removeprefix(_BOM), places)


@lru_cache(maxsize=1024)
def _of_header(priority: int, host: bytes, app: bytes, process: bytes, kind: bytes) -> Mapping[str, bytes]:
    """What a program says the same in every message."""
    places = {**_of_priority(priority), "log.syslog.version": b'"1"'}
    _put(places, "log.syslog.hostname", host)
    _put_program(places, app, process)
    _put(places, "log.syslog.msgid", kind)
    return places


def _old(rest: bytes, places: dict[str, bytes], zone: tzinfo | None, now_ns: int) -> Said:
    timed = _OLD_TIME.match(rest)
    if timed is None:
        return _tagged(places, _TAG_WITH_PID.match(rest), rest)
    moment = (
        read_text(timed["iso"].decode("ascii", "replace"), zone)
        if timed["iso"]
        else _without_year(timed["month"], timed["day"], timed["year"], timed["clock"], zone, now_ns)
    )
    if moment is None:
        return Said(rest, places)
    places.update(reading_of(moment).filled)
    rest = rest[timed.end() :]
    tagged = _TAG.match(rest)
    if tagged is None and (host := _HOST.match(rest)):
        _put(places, "log.syslog.hostname", host[1])
        rest = rest[host.end() :]
        tagged = _TAG.match(rest)
    return _tagged(places, tagged, rest)


def _tagged(places: dict[str, bytes], tagged: re.Match[bytes] | None, rest: bytes) -> Said:
    if tagged is not None:
        _put_program(places, tagged["tag"], tagged["pid"])
        rest = rest[tagged.end() :]
    return Said(rest.removeprefix(_BOM), places)


def _without_year(
    month_name: bytes, day: bytes, year: bytes | None, clock: bytes, zone: tzinfo | None, now_ns: int
) -> Moment | None:
    month = MONTHS.get(month_name.decode("ascii"))
    if month is None:
        return None
    if year is None:
        now = time.gmtime(now_ns // 1_000_000_000)
        ahead = int(month) - now.tm_mon
        written = now.tm_year - (ahead > 1) + (ahead == -11)
    else:
        written = int(year)
    return read_text(f"{written:04}-{month}-{int(day):02}T{clock.decode()}", zone)


def _put_program(places: dict[str, bytes], name: bytes, process: bytes | None) -> None:
    _put(places, "log.syslog.appname", name)
    _put(places, "process.name", name)
    if process and process != b"-":
        _put(places, "log.syslog.procid", process)
        if _NUMBER(process):
            places["process.pid"] = b"%d" % int(process)


def _put(places: dict[str, bytes], place: str, text: bytes) -> None:
    if text != b"-":
        places[place] = _quoted(text)


@lru_cache(maxsize=4096)
def _quoted(text: bytes) -> bytes:
    return quote(text.decode(errors="replace"))


def _structured(text: bytes) -> bytes:
    """Structured data as an object of objects; a name given twice has a list."""
    elements: dict[str, dict[str, str | list[str]]] = {}
    into: dict[str, str | list[str]] = {}
    for found in _PART.finditer(text):
        if found[1] is not None:
            into = elements.setdefault(found[1].decode(errors="replace"), {})
            continue
        name = found[2].decode(errors="replace")
        written = found[3] if b"\\" not in found[3] else _ESCAPE.sub(rb"\1", found[3])
        value = written.decode(errors="replace")
        before = into.get(name)
        match before:
            case None:
                into[name] = value
            case list():
                before.append(value)
            case _:
                into[name] = [before, value]
    return msgspec.json.encode(elements)


@lru_cache(maxsize=MAX_PRIORITY + 1)
def _of_priority(priority: int) -> Mapping[str, bytes]:
    facility, severity = divmod(priority, 8)
    level = level_of_number(severity, "syslog")
    if level is None:
        raise AssertionError("eight severities have eight levels")
    return {
        "log.syslog.priority": b"%d" % priority,
        "log.syslog.facility.code": b"%d" % facility,
        "log.syslog.severity.code": b"%d" % severity,
        "log.level": quote(level),
        "event.severity": b"%d" % SEVERITY[level],
    }
