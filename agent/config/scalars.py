"""One scalar's text into the type its setting has. Nothing is guessed: ``1.10`` is text where text is wanted, ``no``
is a name where a name is."""

import operator
import re
import zoneinfo
from pathlib import Path
from typing import NamedTuple

from msgspec import inspect as mi

from agent.config import pattern, units
from agent.config.problem import did_you_mean, listed
from agent.config.secret import secret

SCALARS = (mi.BoolType, mi.IntType, mi.FloatType, mi.StrType, mi.LiteralType, mi.CustomType)
"""The types a scalar can be read into."""


class Unfit(ValueError):
    """The text is not what the setting takes. ``expected`` ends a sentence that begins "must be"; ``hint`` is a
    suggestion or empty."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


class Note(NamedTuple):
    """What a type's annotations say beside its limits: the setting's own kind (``agent.config.fields``), and
    examples for messages."""

    kind: str | None = None
    examples: tuple[str, ...] = ()

    def inner(self, type_: mi.Type) -> "Note":
        """The note for a type inside: its own annotations, and these where it has none."""
        if not isinstance(type_, mi.Metadata):
            return self
        kind = (type_.extra or {}).get("kind", self.kind)
        examples = (type_.extra_json_schema or {}).get("examples", self.examples)
        return Note(kind, tuple(map(str, examples))).inner(type_.type)


def bare(type_: mi.Type) -> mi.Type:
    """The type without its annotations."""
    return bare(type_.type) if isinstance(type_, mi.Metadata) else type_


def read(type_: mi.Type, note: Note, text: str) -> object:
    """The value, of a bare type. Raises ``Unfit``."""
    try:
        value = _convert(type_, note.kind, text)
    except Unfit:
        raise
    except ValueError as error:
        raise Unfit(str(error)) from None
    _check_limits(type_, note, value)
    return value


def _convert(type_: mi.Type, kind: str | None, text: str) -> object:
    match type_:
        case mi.IntType():
            return units.size(text) if kind == "size" else units.integer(text)
        case mi.FloatType():
            return units.duration(text) if kind == "duration" else units.decimal(text)
        case mi.BoolType():
            return units.switch(text)
        case mi.LiteralType(values=values):
            return _one_of(values, text)
        case mi.CustomType(cls=cls) if issubclass(cls, Path):
            return _path(text)
        case mi.StrType():
            return _text(kind, text)
    raise TypeError(f"no scalar can be a {type_}")


def _text(kind: str | None, text: str) -> str:
    if kind == "secret":
        return secret(text)
    if kind == "pattern":
        pattern.compile(text)
    if kind == "zone":
        _check_zone(text)
    if kind == "query":
        _check_query(text)
    return text


def _check_query(text: str) -> None:
    # Imported here: most configurations have no query.
    from agent.query.language import Query, QueryError, parse

    try:
        query = parse(text)
    except QueryError as error:
        raise Unfit(f"a query as for `modeltail search` ({error})") from None
    if query == Query():
        raise Unfit("a query as for `modeltail search`, with a term in it")


def _one_of(values: tuple[object, ...], text: str) -> object:
    for value in values:
        if str(value) == text:
            return value
    names = [str(value) for value in values]
    raise Unfit(listed(names), did_you_mean(text, names))


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise Unfit("the path of a file or folder")
    return Path(text)


def _check_zone(text: str) -> None:
    if text == "local":
        return
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zones = zoneinfo.available_timezones()
        if not zones:
            raise Unfit(
                "`local`, because this machine has no time zone data (install `tzdata` from the system or from PyPI)"
            ) from None
        raise Unfit(
            "`local`, `UTC` or the name of a time zone, such as `Europe/Paris`", did_you_mean(text, sorted(zones))
        ) from None


def _check_limits(type_: mi.Type, note: Note, value: object) -> None:
    if isinstance(type_, mi.IntType | mi.FloatType) and isinstance(value, int | float):
        limits = (
            (type_.ge, "at least", operator.ge),
            (type_.gt, "more than", operator.gt),
            (type_.le, "at most", operator.le),
            (type_.lt, "less than", operator.lt),
        )
        for limit, words, holds in limits:
            if limit is not None and not holds(value, limit):
                raise Unfit(f"{words} {shown(note.kind, limit)}")
    if isinstance(type_, mi.StrType) and isinstance(value, str):
        check_length(type_.min_length, type_.max_length, len(value), "characters")
        # The struct's own constraint, not a stranger's pattern: the standard library's engine is right for it.
        if type_.pattern is not None and not re.search(type_.pattern, value):
            raise Unfit(f"such as {listed(note.examples)}" if note.examples else f"text that matches `{type_.pattern}`")


def check_length(minimum: int | None, maximum: int | None, length: int, what: str) -> None:
    """Raise ``Unfit`` unless the length is within the limits."""
    if minimum is not None and length < minimum:
        raise Unfit("not empty" if minimum == 1 else f"at least {minimum} {what} long")
    if maximum is not None and length > maximum:
        raise Unfit(f"at most {maximum} {what} long")


def shown(kind: str | None, value: object) -> str:
    """A value as a person would write it in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if kind == "size":
            return units.show_size(value)
        if kind == "duration":
            return units.show_duration(value)
    return str(value)
