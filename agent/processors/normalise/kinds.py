"""Readers of the plain kinds: strings, whole numbers, payloads."""

from typing import Final

import msgspec

from agent.processors.normalise.reading import ColumnReading, Reading
from agent.values import Column, all_start_with, is_long, is_object, is_string, quote

_strings: Final = msgspec.json.Decoder(list[str])
_longs: Final = msgspec.json.Decoder(list[int])
_LONG_LIMIT: Final = 10**18


class Keyword:
    """A string, as it is."""

    def __init__(self, place: str) -> None:
        self.places = (place,)

    def read(self, value: bytes) -> Reading | None:
        """The string; nothing else fits."""
        return Reading(((self.places[0], value),), exact=True) if is_string(value) else None

    def read_column(self, column: Column) -> ColumnReading | None:
        """All strings."""
        return ColumnReading(self.places, (column,), exact=True) if all_start_with(column, b'"') else None


class Identifier(Keyword):
    """A string, as it is; a whole number becomes the string of its digits, for ids and versions that some write as
    numbers."""

    def read(self, value: bytes) -> Reading | None:
        """The string, or the number's digits in quotes."""
        if is_long(value):
            return Reading(((self.places[0], b'"%b"' % value),), exact=False)
        return super().read(value)


class Text(Keyword):
    """A string, as it is; anything else but null becomes the string of its JSON text."""

    def read(self, value: bytes) -> Reading | None:
        """The string, or the value's text in quotes."""
        if value == b"null":
            return None
        return Reading(((self.places[0], value if is_string(value) else quote(value.decode())),), exact=True)


class OneOf(Keyword):
    """One of a few strings; any other does not fit."""

    def __init__(self, place: str, *names: str) -> None:
        super().__init__(place)
        self._names = {quote(name) for name in names}

    def read(self, value: bytes) -> Reading | None:
        """The string if it is one of the names."""
        return Reading(((self.places[0], value),), exact=True) if value in self._names else None

    def read_column(self, column: Column) -> ColumnReading | None:
        """All of them names."""
        return ColumnReading(self.places, (column,), exact=True) if self._names.issuperset(map(bytes, column)) else None


class Keywords:
    """A list of strings."""

    def __init__(self, place: str) -> None:
        self.places = (place,)

    def read(self, value: bytes) -> Reading | None:
        """The list, if it holds nothing but strings."""
        try:
            _strings.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return Reading(((self.places[0], value),), exact=True)

    def read_column(self, column: Column) -> ColumnReading | None:
        """Never at once: such lists are rare."""
        return None


class Long:
    """A whole number of at most 18 digits: every integer field of the index takes it."""

    def __init__(self, place: str) -> None:
        self.places = (place,)

    def read(self, value: bytes) -> Reading | None:
        """The number as it is written."""
        return Reading(((self.places[0], value),), exact=True) if is_long(value) else None

    def read_column(self, column: Column) -> ColumnReading | None:
        """All whole numbers."""
        try:
            numbers = _longs.decode(b"[%b]" % b",".join(column))
        except msgspec.DecodeError:
            return None
        if len(numbers) != len(column) or min(numbers) <= -_LONG_LIMIT or max(numbers) >= _LONG_LIMIT:
            return None
        return ColumnReading(self.places, (column,), exact=True)


class Payload:
    """An object, as it is; anything else is wrapped as ``{"value": …}``, because the index takes only objects
    there."""

    def __init__(self, place: str) -> None:
        self.places = (place,)

    def read(self, value: bytes) -> Reading | None:
        """The object, or the value in one."""
        return Reading(((self.places[0], value if is_object(value) else b'{"value":%b}' % value),), exact=True)

    def read_column(self, column: Column) -> ColumnReading | None:
        """All objects."""
        return ColumnReading(self.places, (column,), exact=True) if all_start_with(column, b"{") else None
