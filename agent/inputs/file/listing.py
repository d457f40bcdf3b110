"""What lies in the folders: files on the way from the disk to the rules of rotation. Runs on the input's threads."""

import os
import stat
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping

import msgspec

from agent.inputs.file.globs import PACKED, Globs
from agent.inputs.file.rotation import Inode, Member, path_before_rotation

_LOOKS = 20
"""How often folders are listed until two listings agree."""


class Listing(msgspec.Struct):
    """The chains found, each with its members, and what could not be looked at.

    ``folders`` are those in which something can happen that matters; ``missing`` those the operator's patterns begin
    in that are not there; ``errors`` maps a path to why it could not be listed.
    """

    chains: dict[str, list[Member]]
    folders: set[str]
    missing: list[str]
    errors: dict[str, OSError]

    unsettled: bool = False
    """Whether chains were left out because their names changed faster than they could be listed: look again soon."""


def list_files(globs: Globs, chains: Mapping[str, Collection[str]], known: Collection[Inode]) -> Listing:
    """List what the patterns match now, and the ``chains`` followed already, each with the names its files last had.

    A folder cannot be read at one instant: a file renamed meanwhile can be missed, or taken for gone. So where a chain
    has a member not ``known``, or lacks one that it had, folders are listed until two listings agree about it.
    """
    listing = _list_once(globs, chains)
    for _ in range(_LOOKS):
        doubtful = {c for c, members in listing.chains.items() if _changed(members, chains.get(c, ()), known)}
        if not doubtful:
            return listing
        again = _list_once(globs, chains)
        differing = {c for c in doubtful if _names(again.chains.get(c)) != _names(listing.chains[c])}
        listing = again
        if not differing:
            return listing
    for chain in differing:
        listing.chains.pop(chain, None)
    listing.unsettled = True
    return listing


def _changed(members: list[Member], names: Collection[str], known: Collection[Inode]) -> bool:
    return {m.path for m in members} != set(names) or any(m.inode not in known for m in members)


def _names(members: list[Member] | None) -> dict[str, Inode] | None:
    return None if members is None else {member.path: member.inode for member in members}


def _list_once(globs: Globs, chains: Mapping[str, Collection[str]]) -> Listing:
    listing = Listing({}, set(), [], {})
    names = _FolderNames(listing.errors)
    for root in globs.roots():
        if os.path.isdir(root):
            listing.folders.add(root)
            names.of(root)
        else:
            listing.missing.append(root)
            listing.folders.add(_nearest_folder(root))
    matched = globs.expand()
    listed: dict[str, str] = {}
    for path in matched:
        plain = path.removesuffix(PACKED)
        before = path_before_rotation(plain)
        if before is None or not globs.matches(before):
            before = plain if globs.matches(plain) else path
        listed[path] = before
    own = set(listed.values()) | set(chains)
    for chain in sorted(own):
        real = os.path.realpath(chain) if os.path.islink(chain) else chain
        # A chain that no pattern means any more is from an earlier configuration: left alone, not forgotten.
        members: list[Member] = []
        if globs.matches(chain):
            members += _members(chain, real, names, globs, listed, own)
            seen = {member.path for member in members}
            last_names = (path for path in chains.get(chain, ()) if path not in seen and not globs.excludes(path))
            members += [m for path in last_names if (m := _member(path, os.path.basename(path)))]
        folder = os.path.dirname(real)
        listing.folders.add(folder)
        # Of a folder that cannot be listed nothing is concluded, least of all that its files are gone.
        if (members or chain in chains) and folder not in listing.errors:
            listing.chains[chain] = members
    return listing


def _members(
    chain: str, real: str, names: "_FolderNames", globs: Globs, listed: dict[str, str], own: Collection[str]
) -> Iterator[Member]:
    live = _member(real, live=True)
    if live is not None:
        yield live
    folder, _, name = real.rpartition("/")
    for sibling in names.beginning_with(folder or "/", name):
        path = f"{folder}/{sibling}"
        if path in own or globs.excludes(path):
            continue
        plain = sibling.removesuffix(PACKED)
        if plain not in (sibling, name) and names.has(folder or "/", plain):
            continue  # it is just being made; the file it is made of is there still
        member = _member(path, plain[len(name) :], listed=listed.get(path) == chain)
        if member is not None:
            yield member


def _member(path: str, suffix: str = "", *, live: bool = False, listed: bool = False) -> Member | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None  # renamed or removed since it was listed
    if not stat.S_ISREG(found.st_mode):
        return None
    inode, packed = (found.st_dev, found.st_ino), path.endswith(PACKED)
    return Member(path, inode, found.st_size, found.st_mtime_ns, suffix, live, listed, packed)


class _FolderNames:
    """The names in folders, each folder read once, found by their beginning without going through all."""

    def __init__(self, errors: dict[str, OSError]) -> None:
        self._names: dict[str, list[str]] = {}
        self._errors = errors

    def of(self, folder: str) -> list[str]:
        """All names in this folder, sorted; none if it cannot be read (then the error is kept)."""
        if folder not in self._names:
            try:
                self._names[folder] = sorted(os.listdir(folder))
            except FileNotFoundError:
                self._names[folder] = []
            except OSError as error:
                self._errors[folder] = error
                self._names[folder] = []
        return self._names[folder]

    def has(self, folder: str, name: str) -> bool:
        """Whether there is something of this name."""
        names = self.of(folder)
        i = bisect_left(names, name)
        return i < len(names) and names[i] == name

    def beginning_with(self, folder: str, prefix: str) -> Iterator[str]:
        """The names longer than ``prefix`` that begin with it."""
        names = self.of(folder)
        for i in range(bisect_left(names, prefix), len(names)):
            if not names[i].startswith(prefix):
                return
            if names[i] != prefix:
                yield names[i]


def _nearest_folder(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
