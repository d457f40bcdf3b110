"""Lines to batches: what the operator does not want is left out and counted, the rest gets what the input knows of
it."""

from collections.abc import Mapping, Sequence
from itertools import compress

import msgspec

from agent.config import pattern
from agent.inputs.lines import Cut
from agent.record import Batch, Counts, Origin

TRUNCATED = {"labels.truncated": b'"line"'}
"""The mark on a line of which only the first part was kept."""


def label_constants(labels: Mapping[str, str]) -> dict[str, bytes]:
    """An input's own labels as constants of its batches."""
    return {f"labels.{name}": msgspec.json.encode(value) for name, value in labels.items()}


_encode = msgspec.json.Encoder().encode


class LineFilter:
    """Which lines the operator wants. ``include`` and ``exclude`` are regular expressions (RE2); a line must match one
    of the first, if any, and none of the second."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = [pattern.compile(text).search for text in include]
        self._exclude = [pattern.compile(text).search for text in exclude]

    def wanted(self, lines: Sequence[bytes]) -> list[bool] | None:
        """For each line whether it is wanted; None when all are."""
        if not (self._include or self._exclude):
            return None
        wanted = list(map(self._is_wanted, lines))
        return None if all(wanted) else wanted

    def _is_wanted(self, line: bytes) -> bool:
        if self._include and not any(search(line) for search in self._include):
            return False
        return not any(search(line) for search in self._exclude)


class LineBatches:
    """Makes batches of one input, of the lines that ``include`` and ``exclude`` leave (see ``LineFilter``)."""

    def __init__(self, input_id: str, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._input = input_id
        self._filter = LineFilter(include, exclude)

    def make(
        self, cut: Cut, constants: dict[str, bytes], origin: Origin | None, read_at_ns: int, *, offsets: bool
    ) -> Batch:
        """A batch of these lines. With ``offsets`` each record gets its position in the file as ``log.offset``."""
        lines, starts, sparse = cut.lines, cut.starts, cut.sparse
        counts = Counts(accepted=len(lines), bytes=cut.end - cut.begin, dropped={}, noted=dict(cut.noted))
        if (kept := self._filter.wanted(lines)) is not None:
            counts.dropped = {"excluded": kept.count(False)}
            lines, starts = list(compress(lines, kept)), list(compress(starts, kept))
            sparse = {place: list(compress(column, kept)) for place, column in sparse.items()}
        if cut.truncated and lines:
            constants = constants | TRUNCATED
            counts.noted["truncated"] = 1
        else:
            constants = constants.copy()
        columns = {"log.offset": _texts(starts)} if offsets else {}
        return Batch(
            self._input, origin, read_at_ns, lines, columns, constants, counts, sparse=sparse, blocks=cut.blocks
        )


def _texts(numbers: Sequence[int]) -> list[bytes]:
    """The numbers as JSON text, in one go."""
    return _encode(numbers)[1:-1].split(b",") if numbers else []
