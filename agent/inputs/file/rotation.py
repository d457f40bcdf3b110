"""The rules of rotation, without touching a file: what is an older copy of what, which is older, which are to be
read.

A log file at ``path`` is written as a chain of generations. Rotation gives the current one another name in the same
folder, ``path`` plus a suffix (``.1``, ``-20261122``, ``.20261122-101500``), and begins a new one. Suffixes mean
different things to different rotators (``.1`` is the newest to logrotate, the oldest to others), so age is told by
the time of the last change, and by the suffix only where that is equal.
"""

import re
from collections.abc import Collection, Sequence

import msgspec

Inode = tuple[int, int]
"""Device and inode number: one file, as long as someone holds it open or remembers what was in it."""

_ROTATED = re.compile(r"[._-](?:\d[\dTZ:._+-]*|old|bak|prev|previous|last|rotated|archived)")
_SUFFIX_OF = re.compile(r"(.+?)" + f"({_ROTATED.pattern})")


class Member(msgspec.Struct, frozen=True):
    """A file of one chain, as a folder listing shows it.

    ``suffix`` is what its name has beyond the chain's, without the ending of a compressed file; ``live`` is True for
    the one at the path itself; ``listed`` for one that the operator's own pattern names, beyond the live one;
    ``packed`` for a compressed one.
    """

    path: str
    inode: Inode
    size: int
    mtime_ns: int
    suffix: str = ""
    live: bool = False
    listed: bool = False
    packed: bool = False


def is_rotation_suffix(suffix: str) -> bool:
    """Whether a name plus this suffix is what a rotator makes: ``.1``, ``.2026-11-22``, ``-20261122``, ``.old``; not
    ``.lock`` or ``.error.log``."""
    return _ROTATED.fullmatch(suffix) is not None


def path_before_rotation(path: str) -> str | None:
    """The path whose rotated generation this may be, or None."""
    folder, slash, name = path.rpartition("/")
    found = _SUFFIX_OF.fullmatch(name)
    return f"{folder}{slash}{found[1]}" if found else None


def oldest_first(members: Collection[Member]) -> list[Member]:
    """The order in which the generations were written. The live one is always the newest."""
    return sorted(members, key=_age)


def _age(member: Member) -> tuple[bool, int, tuple[int, ...], str]:
    numbers = tuple(map(int, re.findall(r"\d+", member.suffix)))
    # A lone small number counts back from the newest (".1" after ".2"); dates and times count on.
    counts_back = len(numbers) == 1 and numbers[0] < 100_000
    return member.live, member.mtime_ns, (-numbers[0],) if counts_back else numbers, member.suffix


def to_be_read(
    members: Sequence[Member], known: Collection[Inode], vanished_mtime_ns: int | None, began_ns: int
) -> list[Member]:
    """Which unknown members (``oldest_first``) are to be read whole.

    ``known`` are the members whose position is known. ``vanished_mtime_ns`` is the last change of the newest
    generation that was read and is no longer here, None if there is none. On a first sight nothing is known: then the
    live one and the ones listed by the operator are to be read, and siblings written to since the input began
    (``began_ns``; not compressed ones, which are dated by their making), never older ones. Later, everything newer than
    the newest known and, if there are known ones that are gone, not older than they were (two changes can share a tick
    of the clock).
    """
    newest_known = max((i for i, member in enumerate(members) if member.inode in known), default=None)
    if newest_known is None and vanished_mtime_ns is None:
        return [m for m in members if m.live or m.listed or _written_since(m, began_ns)]
    later = members if newest_known is None else members[newest_known + 1 :]
    return [m for m in later if m.live or (m.mtime_ns >= (vanished_mtime_ns or 0) and _may_be_read(m))]


def _written_since(member: Member, began_ns: int) -> bool:
    return not member.packed and member.mtime_ns >= began_ns and _may_be_read(member)


def _may_be_read(member: Member) -> bool:
    """Any sibling may turn out to be a generation that is known; to be read unknown, it must look like a rotator's."""
    only_packed = member.packed and not member.suffix
    return member.live or member.listed or only_packed or is_rotation_suffix(member.suffix)
