"""Why a line does not fit: for people who are writing a pattern. Never asked while records flow."""

import csv
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from agent.config import pattern
from agent.config.pattern import Compiled
from agent.processors.parse.config import CsvParse, KeyValueParse, LogfmtParse, ParseConfig, RegexParse
from agent.processors.parse.pairs import next_pair
from agent.processors.parse.rows import row_of

_SHOWN: Final = 40
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_ATOM: Final = re.compile(r"\\[pPx]\{[^}]*\}|\\.|\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\]\\])*\]|.", re.DOTALL)


def why(parse: ParseConfig, text: str) -> str:
    """The reason a line does not fit, as a sentence's end: "does not fit: …"."""
    match parse:
        case RegexParse():
            return _where_it_stopped(parse.pattern, text)
        case LogfmtParse():
            return _no_pair(text)
        case KeyValueParse():
            return f"there is no key with {parse.between!r} behind it"
        case CsvParse():
            return _row(parse, text)


def _where_it_stopped(expression: str, text: str) -> str:
    pieces = pieces_of(expression)
    line = text.encode()
    for count in range(len(pieces) - 1, 0, -1):
        found = _compiled("".join(pieces[:count]))
        found_at = found and found.search(line)
        if found_at:
            rest = line[found_at.end() :].decode(errors="replace")
            column = len(line[: found_at.end()].decode(errors="replace")) + 1
            there = f"at column {column}, {_short(rest)}" if rest else "at the end of the line"
            return f"`{pieces[count]}` finds nothing {there}"
    return f"`{pieces[0]}` finds nothing in it"


def pieces_of(expression: str) -> list[str]:
    """An expression cut where every part before a cut is an expression too. One with alternatives at its top, or a
    quotation, is one piece."""
    return list(_cut(expression)) if r"\Q" not in expression and not _has_alternatives(expression) else [expression]


def _cut(expression: str) -> Iterator[str]:
    begin = depth = at = 0
    while at < len(expression):
        found = _ATOM.match(expression, at)
        assert found is not None
        at = found.end()
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth:
            continue
        if found := _QUANTIFIER.match(expression, at):
            at = found.end()
        yield expression[begin:at]
        begin = at
    if begin < len(expression):
        yield expression[begin:]


def _has_alternatives(expression: str) -> bool:
    return "|" in list(_cut(expression))


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Compiled | None:
    try:
        return pattern.compile(expression)
    except ValueError:
        return None


def _no_pair(text: str) -> str:
    at = 0
    while found := next_pair(text, at):
        at = found.end()
    rest = text[at:].strip()
    return f"no pair `key=value` begins with {_short(rest)}" if rest else "there is nothing in it"


def _row(parse: CsvParse, text: str) -> str:
    try:
        count = len(row_of(parse, text))
    except csv.Error as error:
        return f"it is no row: {error}"
    return f"it has {count} {'value' if count == 1 else 'values'}, and there are {len(parse.columns)} columns"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
