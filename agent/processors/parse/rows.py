"""Lines that are rows: values in a fixed order."""

import csv
from datetime import tzinfo
from typing import Final

from agent.processors.normalise.tolerant import Record
from agent.processors.parse.config import CsvParse
from agent.processors.parse.parser import Parts

MAX_VALUE_CHARS: Final = 16 * 1024**2
"""The longest line an input takes; the library's own limit is far below it."""


def row_of(config: CsvParse, text: str) -> list[str]:
    """The values of a line. Raises ``csv.Error`` for one that is no row."""
    (row,) = csv.reader([text], delimiter=config.delimiter, quotechar=config.quote, strict=True)
    return row


class CsvWay:
    """Lines with as many values as there are columns. A value that is empty is left out."""

    def __init__(self, config: CsvParse, zone: tzinfo | None) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), MAX_VALUE_CHARS))
        self._parts = Parts(config, zone)
        self._columns = tuple(map(self._parts.of, config.columns))
        self._config = config

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The values of a line; they and the order of the columns give it back."""
        try:
            row = row_of(self._config, text)
        except csv.Error:
            return None
        if len(row) != len(self._columns):
            return None
        record: Record = {key: typed(value) for (key, typed), value in zip(self._columns, row, strict=True) if value}
        return self._parts.finish(record, read_at_ns)
