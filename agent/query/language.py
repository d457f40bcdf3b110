"""The search language: text in, a ``Query`` out.

::

    score level:error model:fraud-scorer       words and fields, all of which must hold
    "feature store" time*                      a phrase; words that begin like this
    -healthz  -logger:uvicorn.access           not
    level:error   level>=warning               this level; at least this one
    latency>100ms   score:0.4..0.6   n:>10     numbers: beyond, between (both ends count), beyond
    ml.outputs.label:fraud  country:F*  user:* a field of the document; how its text begins; it is there at all

A word is looked for in the message, the error (type, message, stack trace), the ids of request and trace, and the
logger. Case does not matter there, and words are runs of letters and digits: ``time-out`` is the phrase "time out".
In a field, case matters and the whole value counts.

A field is named by its place in the document, or by a short name (``ALIASES``). A name that is neither is looked for
as it is and below ``fields``, ``ml.outputs``, ``ml.metrics``, ``ml.inputs`` and ``labels``. An array matches when one
of its values does.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from agent.query.extract import LEVELS, OTHER_LEVEL

MAX_QUERY_CHARS: Final = 4096
MAX_TERMS: Final = 64
MAX_NAME_PARTS: Final = 16

ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "level": ("log.level",),
    "severity": ("event.severity",),
    "logger": ("log.logger",),
    "file": ("log.file.path",),
    "model": ("ml.model.name",),
    "version": ("ml.model.version",),
    "stage": ("ml.model.stage",),
    "id": ("ml.inference.id", "trace.id"),
    "request": ("ml.inference.id",),
    "trace": ("trace.id",),
    "outcome": ("event.outcome",),
    "duration": ("event.duration",),
    "latency": ("event.duration",),
    "dataset": ("event.dataset",),
    "service": ("service.name",),
    "environment": ("service.environment",),
    "host": ("host.name",),
}
"""Short names of places."""

ROOTS: Final = frozenset(
    (
        *(
            "@timestamp",
            "agent",
            "container",
            "data_stream",
            "ecs",
            "error",
            "event",
            "fields",
            "gen_ai",
            "host",
            "labels",
        ),
        *("log", "message", "ml", "orchestrator", "process", "service", "span", "trace"),
    )
)
"""First parts of the document's own places; a name that begins otherwise is one of the model's."""

ELSEWHERE: Final = ("fields", "ml.outputs", "ml.metrics", "ml.inputs", "labels")
"""Where a name is looked for that is no place of the document."""

WORDS: Final = {"message": "message", "error": "error"}
"""Names whose value is a word to find in a column of the index rather than a whole value."""

INDEXED: Final = {"ml.inference.id": "ids", "trace.id": "ids", "log.logger": "logger", "error.type": "error"}
"""Places whose whole value the full-text index holds, so that it can find candidates quickly."""

DURATION: Final = "event.duration"
"""The place whose numbers may be written with a unit."""

_LEVEL_NAMES: Final = {
    **{level: level for level in LEVELS},
    "warn": "warning",
    "err": "error",
    "crit": "critical",
    "fatal": "critical",
}
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_TERM: Final = re.compile(
    r"""\s*(?P<not>-)?(?:
        (?P<name>[A-Za-z_@][\w@./-]*?)(?P<op>:>=|:<=|:>|:<|:|>=|<=|>|<|=)(?:"(?P<qvalue>(?:[^"\\]|\\.)*)"(?P<qstar>\*?)|(?P<value>[^\s"]*))
        |"(?P<phrase>(?:[^"\\]|\\.)*)"(?P<pstar>\*?)
        |(?P<word>[^\s"]+)
    )(?=\s|$)""",
    re.VERBOSE,
)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:@ -]+")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


class QueryError(ValueError):
    """The query cannot be understood; the text is a sentence for its author."""


class Words(msgspec.Struct, frozen=True):
    """An expression for the full-text index (FTS5), with every word quoted. ``implied`` by a test, which says it more
    exactly: it only helps to find candidates."""

    expression: str
    negated: bool = False
    implied: bool = False


class Levels(msgspec.Struct, frozen=True):
    """The level is one of these."""

    names: frozenset[str]
    negated: bool = False


class Equals(msgspec.Struct, frozen=True):
    """A value at one of the places is this text, or this number. With ``pattern``, its text matches."""

    places: tuple[str, ...]
    value: str
    number: float | int | None = None
    pattern: re.Pattern[str] | None = None
    negated: bool = False


class Exists(msgspec.Struct, frozen=True):
    """There is a value other than null at one of the places."""

    places: tuple[str, ...]
    negated: bool = False


class Between(msgspec.Struct, frozen=True):
    """A number at one of the places is within the limits; ``strict`` leaves out the limits themselves."""

    places: tuple[str, ...]
    low: float | int | None
    high: float | int | None
    strict: bool = False
    negated: bool = False


Test = Levels | Equals | Exists | Between


class Query(msgspec.Struct, frozen=True):
    """What must hold of a record: every one of ``words`` by the index, every one of ``tests`` by the document.

    ``needles`` are groups of texts: a matching document holds one of each group as it is, unless it writes characters
    as escapes.
    """

    words: tuple[Words, ...] = ()
    tests: tuple[Test, ...] = ()
    needles: tuple[tuple[bytes, ...], ...] = ()

    @property
    def wanted(self) -> str | None:
        """What to ask the full-text index for, or None when it has nothing to say."""
        found = " AND ".join(f"({words.expression})" for words in self.words if not words.negated)
        return (f"({found}) NOT ({self.unwanted})" if self.unwanted else found) if found else None

    @property
    def unwanted(self) -> str | None:
        """What the full-text index must not find, or None."""
        return " OR ".join(f"({words.expression})" for words in self.words if words.negated) or None

    @property
    def needs_words(self) -> bool:
        """Whether the tests are not all there is to it: there are words to look for."""
        return not all(words.implied for words in self.words)

    @property
    def levels(self) -> int:
        """The levels that can match, as in a block's ``levels``."""
        mask = (OTHER_LEVEL << 1) - 1
        for test in self.tests:
            if isinstance(test, Levels):
                bits = sum(1 << i for i, level in enumerate(LEVELS) if level in test.names)
                mask &= ~bits if test.negated else bits
        return mask


def parse(text: str) -> Query:
    """Understand a query. Raises ``QueryError``."""
    if len(text) > MAX_QUERY_CHARS:
        raise QueryError(f"The query is {len(text)} characters long; at most {MAX_QUERY_CHARS} are read.")
    if not text.isprintable() and any(not (c.isprintable() or c.isspace()) for c in text):
        raise QueryError("The query holds characters that cannot be printed.")
    words: list[Words] = []
    tests: list[Test] = []
    needles: list[tuple[bytes, ...]] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None:
            raise QueryError(_misread(text, position))
        if len(words) + len(tests) >= MAX_TERMS:
            raise QueryError(f"The query has more than {MAX_TERMS} terms.")
        try:
            item = _word(term) if term["name"] is None else _field(term)
        except QueryError as error:
            start = term.start() + len(term[0]) - len(term[0].lstrip())
            raise QueryError(f"{term[0].strip()} (character {start + 1}): {error}") from None
        if isinstance(item, Words):
            words.append(item)
        else:
            tests.append(item)
            if not item.negated:
                needles.extend(_needles(item))
                words.extend(_indexed(item))
        position = term.end()
    return Query(tuple(words), tuple(tests), tuple(needles))


def _misread(text: str, position: int) -> str:
    quote = text.find('"', position)
    if text.count('"', position) % 2:
        return f"The quotation mark at character {quote + 1} has no partner."
    return f"There is a quotation mark inside a word near character {quote + 1}; put spaces around quoted text."


def _word(term: re.Match[str]) -> Words:
    quoted = term["phrase"] is not None
    text, star = (_unescaped(term["phrase"]), term["pstar"]) if quoted else (term["word"], "")
    if not quoted:
        if text in ("AND", "OR", "NOT"):
            raise QueryError(f'all terms must hold, and - means not; to look for the word, write "{text.lower()}"')
        if text.endswith("*"):
            text, star = text.rstrip("*"), "*"
    return Words(_expression(text, star), negated=term["not"] is not None)


def _field(term: re.Match[str]) -> Words | Test:
    name, op, negated = term["name"], term["op"].lstrip(":") or "=", term["not"] is not None
    quoted = term["qvalue"] is not None
    value = _unescaped(term["qvalue"]) if quoted else term["value"]
    star = term["qstar"] or ""
    if not value and not quoted:
        raise QueryError(f"there is no value behind {term['op']}")
    if name.count(".") >= MAX_NAME_PARTS:
        raise QueryError(f"a name has at most {MAX_NAME_PARTS} parts")
    if name in WORDS and op == "=" and value != "*":
        if not quoted and value.endswith("*"):
            value, star = value.rstrip("*"), "*"
        return Words(f"{WORDS[name]} : {_expression(value, star)}", negated)
    places = _places(name)
    if places == ("log.level",) and value != "*":
        return Levels(_levels(value, op), negated)
    if op != "=":
        limit = _number(value, places)
        low, high = (limit, None) if op[0] == ">" else (None, limit)
        return Between(places, low, high, strict="=" not in op, negated=negated)
    if quoted:
        pattern = re.compile(re.escape(value) + ".*", re.DOTALL) if star else None
        return Equals(places, value, pattern=pattern, negated=negated)
    if value == "*":
        return Exists(places, negated)
    if ".." in value and (limits := _limits(value, places)):
        return Between(places, *limits, negated=negated)
    if "*" in value:
        return Equals(
            places,
            value,
            pattern=re.compile(".*".join(map(re.escape, re.split(r"\*+", value))), re.DOTALL),
            negated=negated,
        )
    texts_only = all(place in INDEXED for place in places)
    number = _number(value, places) if not texts_only and _is_number(value, places) else None
    return Equals(places, value, number, negated=negated)


def _places(name: str) -> tuple[str, ...]:
    if name in ALIASES:
        return ALIASES[name]
    if name.partition(".")[0] in ROOTS:
        return (name,)
    return (name, *(f"{place}.{name}" for place in ELSEWHERE))


def _levels(value: str, op: str) -> frozenset[str]:
    level = _LEVEL_NAMES.get(value.lower())
    if level is None:
        close = difflib.get_close_matches(value.lower(), _LEVEL_NAMES, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise QueryError(f"the levels are {', '.join(LEVELS)}{hint}")
    i = LEVELS.index(level)
    chosen = {"=": LEVELS[i : i + 1], ">": LEVELS[i + 1 :], ">=": LEVELS[i:], "<": LEVELS[:i], "<=": LEVELS[: i + 1]}[
        op
    ]
    return frozenset(chosen)


def _limits(value: str, places: tuple[str, ...]) -> tuple[float | int | None, float | int | None] | None:
    low, _, high = value.partition("..")
    if not (low or high) or any(side and not _is_number(side, places) for side in (low, high)):
        return None
    return _number(low, places) if low else None, _number(high, places) if high else None


def _is_number(value: str, places: tuple[str, ...]) -> bool:
    return _number_parts(value, places) is not None


def _number(value: str, places: tuple[str, ...]) -> float | int:
    parts = _number_parts(value, places)
    if parts is None:
        unit = " with or without a unit, such as 100ms" if DURATION in places else ""
        raise QueryError(f"{value!r} is not a number{unit}")
    digits, factor = parts
    number = int(digits) if digits.lstrip("+-").isdecimal() else float(digits)
    return number * factor if factor != 1 else number


def _number_parts(value: str, places: tuple[str, ...]) -> tuple[str, int] | None:
    match = _NUMBER.match(value)
    if match is None:
        return None
    unit = value[match.end() :]
    if not unit:
        return match[0], 1
    return (match[0], _UNITS[unit]) if DURATION in places and unit in _UNITS else None


def _indexed(test: Test) -> Iterator[Words]:
    """What the full-text index knows of a test, so that it finds the candidates."""
    if isinstance(test, Equals) and test.number is None and test.pattern is None:
        columns = {INDEXED.get(place) for place in test.places}
        if None not in columns and _has_ascii_words(test.value):
            expression = " OR ".join(sorted(f"{column} : {_quoted(test.value)}" for column in columns))
            yield Words(expression, implied=True)


def _needles(test: Test) -> Iterator[tuple[bytes, ...]]:
    if isinstance(test, Levels):
        yield tuple(b'"%s"' % name.encode() for name in sorted(test.names))
        return
    keys = {place.rpartition(".")[2] for place in test.places}
    if all(map(_PLAIN.fullmatch, keys)):
        yield tuple(sorted(b'%s"' % key.encode() for key in keys))
    if isinstance(test, Equals) and test.number is None and test.pattern is None and _PLAIN.fullmatch(test.value):
        yield (test.value.encode(),)


def _expression(text: str, star: str) -> str:
    if not _has_words(text):
        raise QueryError("there is no letter or digit in it to look for")
    return _quoted(text) + star


def _quoted(text: str) -> str:
    """As a string of the index's own language, in which nothing has a meaning but the quotation mark."""
    return '"' + text.replace('"', '""') + '"'


def _has_words(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _has_ascii_words(text: str) -> bool:
    """Whether the index is sure to see a word in it: which other characters make words depends on SQLite's version of
    Unicode.
    """
    return any(c.isalnum() and c.isascii() for c in text)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
