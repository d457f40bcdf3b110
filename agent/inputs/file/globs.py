"""Path patterns: which files are meant, and whether a path would be."""

import glob
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

PACKED = ".gz"
"""The ending of compressed files that are read when asked to."""
NEVER_READ = (".bz2", ".xz", ".zst", ".tmp", ".swp")
"""Endings of files that are not lines of a log: compressed in other ways, or still being made."""


class Globs:
    """The operator's ``paths`` and ``exclude``.

    ``*`` and ``?`` stay within one folder and, as in a shell, do not match a leading dot; ``**`` stands for any
    number of folders. In ``exclude`` a pattern without ``/`` is for the name alone.
    """

    def __init__(self, patterns: Sequence[str], exclude: Sequence[str], *, read_gzip: bool = False) -> None:
        self._never_read = NEVER_READ if read_gzip else (PACKED, *NEVER_READ)
        self._patterns = [os.path.normpath(pattern) for pattern in patterns]
        self._exclude = [pattern for pattern in exclude if "/" in pattern]
        self._exclude_names = [pattern for pattern in exclude if "/" not in pattern]

    def matches(self, path: str) -> bool:
        """Whether a file at this path, if there were one, would be read."""
        return any(path_matches(path, pattern) for pattern in self._patterns) and not self.excludes(path)

    def excludes(self, path: str) -> bool:
        """Whether a file at this path is never read."""
        name = os.path.basename(path)
        return (
            path.endswith(self._never_read)
            or any(fnmatchcase(name, pattern) for pattern in self._exclude_names)
            or any(path_matches(path, pattern) for pattern in self._exclude)
        )

    def expand(self) -> list[str]:
        """The paths that exist now, each once, sorted. They may be of anything: files, links, pipes."""
        found = {path for pattern in self._patterns for path in glob.iglob(pattern, recursive=True)}
        # "a/**" finds "a/" even where there is no such folder; no file's path ends so.
        return sorted(path for path in found if not path.endswith("/") and not self.excludes(path))

    def roots(self) -> list[str]:
        """The folders in which matches begin: of each pattern the part before the first wildcard."""
        roots = set()
        for pattern in self._patterns:
            folder = os.path.dirname(pattern)
            while glob.has_magic(folder):
                folder = os.path.dirname(folder)
            roots.add(folder)
        return sorted(roots)


def path_matches(path: str, pattern: str) -> bool:
    """Whether ``glob`` would find ``path`` with ``pattern``, were it there."""
    patterns = pattern.split("/")
    if patterns[-1] == "**":
        patterns.append("*")  # the folder before it is no file
    return _parts_match(path.split("/"), patterns)


def _parts_match(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    # The patterns that can stand before the next part of the path; "**" can also stand for nothing.
    reached = _without_stars({0}, patterns)
    for part in parts:
        after = set()
        for i in reached:
            if i == len(patterns):
                continue
            if patterns[i] == "**":
                if not part.startswith("."):
                    after.add(i)
            elif _part_matches(part, patterns[i]):
                after.add(i + 1)
        reached = _without_stars(after, patterns)
    return len(patterns) in reached


def _without_stars(reached: set[int], patterns: Sequence[str]) -> set[int]:
    for i in range(len(patterns)):
        if i in reached and patterns[i] == "**":
            reached.add(i + 1)
    return reached


def _part_matches(part: str, pattern: str) -> bool:
    if not glob.has_magic(pattern):
        return part == pattern
    return fnmatchcase(part, pattern) and (not part.startswith(".") or pattern.startswith("."))
