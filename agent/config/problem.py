"""A mistake in the configuration: where, at which setting, and what to do about it."""

from collections.abc import Iterable
from typing import NamedTuple


class Place(NamedTuple):
    """A position in the file, counted from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One mistake. ``setting`` is its path (``outputs[0].hosts``), empty for the file as a whole. Sorts in file
    order."""

    place: Place
    setting: str
    sentence: str

    def text(self, file: str) -> str:
        """The line a person reads; editors and terminals make its beginning a link."""
        where = f"{file}:{self.place.line}:{self.place.column}: "
        return where + (f"{self.setting}: {self.sentence}" if self.setting else self.sentence)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean `hosts`?`` when something known is close to ``word`` (whatever its case and hyphens), else
    the empty string."""
    by_plain = {_plain(name.rpartition(".")[2]): name for name in reversed(list(known))}
    import difflib  # needed for a mistake only

    close = difflib.get_close_matches(_plain(word), by_plain, n=1, cutoff=0.6)
    return f"; did you mean `{by_plain[close[0]]}`?" if close else ""


def listed(names: Iterable[str], last: str = "or") -> str:
    """Names as a person lists them: `` `a`, `b` or `c` ``."""
    quoted = [f"`{name}`" for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")
