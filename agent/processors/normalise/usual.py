"""The accelerator: a source that keeps writing objects with the same keys has them decoded into a generated struct,
which is quicker than a dict.

It is only a faster way to the same columns: a line with other keys, or that is no object, is refused here and decoded
like any other. A struct is built after ``SETTLED`` chunks of lines with the same keys, for at most ``MAX_KEYS`` keys,
and given up when the lines change; another one is then not built before ``REST`` chunks have passed, so that a source
that keeps changing costs nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import astuple

from agent.processors.normalise.columns import MAX_KEYS
from agent.processors.normalise.tolerant import Record
from agent.values import Value

SETTLED: Final = 2
REST: Final = 200
_LEAST_SHARE: Final = 0.5


class UsualKeys:
    """What one input's lines usually have. ``keys`` are None while there is no struct."""

    def __init__(self) -> None:
        self.keys: tuple[str, ...] | None = None
        self._decode: msgspec.json.Decoder[msgspec.Struct] | None = None
        self._candidate: tuple[str, ...] = ()
        self._times = 0
        self._rest = 0

    def saw(self, keys: tuple[str, ...]) -> None:
        """A chunk of lines was decoded the ordinary way, and most had these keys."""
        self._rest -= 1
        self._times = self._times + 1 if keys == self._candidate else 1
        self._candidate = keys
        if self._times >= SETTLED and self._rest <= 0 and len(keys) <= MAX_KEYS and all(map(_can_be_named, keys)):
            self.keys = keys
            self._decode = _decoder(keys)

    def decode(self, lines: Sequence[bytes]) -> tuple[list[msgspec.Struct], list[int]]:
        """The lines that have the keys, as structs, and the indexes of those that do not."""
        assert self._decode is not None
        records: list[msgspec.Struct] = []
        refused: list[int] = []
        remaining = iter(lines)
        while True:
            try:
                # On an error the records before it stay in the list, so its length says which line it was.
                records.extend(map(self._decode.decode, remaining))
                break
            except (msgspec.DecodeError, RecursionError):
                refused.append(len(records) + len(refused))
        if len(refused) > len(lines) * _LEAST_SHARE:
            self.keys = self._decode = None
            self._times, self._rest = 0, REST
        return records, refused


values_of: Final[Callable[[msgspec.Struct], Iterable[Value]]] = astuple
"""The values of a decoded struct, in the order of the keys."""


def as_dict(record: msgspec.Struct, keys: tuple[str, ...]) -> Record:
    """The record as the ordinary decoder would have given it."""
    return dict(zip(keys, astuple(record), strict=True))


def _can_be_named(key: str) -> bool:
    """Whether msgspec takes this as a field's name; it refuses what JSON would have to escape."""
    return key.isprintable() and '"' not in key and "\\" not in key


def _decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[msgspec.Struct]:
    names = {f"f{i}": key for i, key in enumerate(keys)}
    # Its fields are raw text and can form no cycle, so the collector need not know the records.
    struct = msgspec.defstruct(
        "Usual", [(name, msgspec.Raw) for name in names], rename=names, forbid_unknown_fields=True, gc=False
    )
    return msgspec.json.Decoder(struct)
