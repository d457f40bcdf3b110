"""What a field's value means for the document: the result of reading one value, or a column of them."""

from typing import NamedTuple, Protocol

from agent.values import Column


class Reading(NamedTuple):
    """A value that fits its place.

    ``filled`` are the places it fills and their JSON text, the place it was read for first. ``exact`` says that the
    value as it was written can be rebuilt from them; otherwise the original is kept under ``fields``.
    """

    filled: tuple[tuple[str, bytes], ...]
    exact: bool


class ColumnReading(NamedTuple):
    """A column in which every value fills the same places in the same way: one column for each of ``places``."""

    places: tuple[str, ...]
    columns: tuple[Column, ...]
    exact: bool


class Reader(Protocol):
    """Reads the values of one spelling of a field."""

    @property
    def places(self) -> tuple[str, ...]:
        """All places it may fill; the first is the one it competes for with other spellings."""
        ...

    def read(self, value: bytes) -> Reading | None:
        """One value; None if it does not have the kind the place needs."""
        ...

    def read_column(self, column: Column) -> ColumnReading | None:
        """A whole column at once if every value is of the usual form, else None: then each is read alone.

        It must agree with ``read`` on every value.
        """
        ...
