"""Taking the members of objects apart and putting them together again, as JSON text that is never re-written."""

from collections.abc import Collection, Mapping

import msgspec

from agent.processors.normalise.tolerant import Record, decode, walk
from agent.values import Value, is_object, quote

Tree = Mapping[str, "str | Tree"]
"""Which members of an object to move: the key each gets at the top."""


def tree_of(keys: Collection[str]) -> Tree:
    """Dotted keys as the tree that finds them in objects within objects."""
    root: dict[str, str | Tree] = {}
    for key in keys:
        *parents, leaf = key.split(".")
        branch = root
        for parent in parents:
            branch = branch.setdefault(parent, {})  # type: ignore[assignment]
        branch[leaf] = key
    return root


def members(value: Value) -> Record:
    """The members of an object that was decoded before, strictly or not."""
    try:
        return decode(bytes(value))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return walk(bytes(value).decode()).members


def object_of(members: Record) -> bytes:
    """An object with these members."""
    return b"{%b}" % b",".join(b"%b:%b" % (quote(key), bytes(value)) for key, value in members.items())


def move(key: str, value: Value, tree: Tree, flat: Record, taken: Collection[str]) -> None:
    """Put an object's members into ``flat`` under the keys the tree gives them, and what is left of it under its own
    key."""
    left, moved = split(bytes(value), tree, taken)
    flat.update(moved)
    if left is not None:
        flat[key] = left


def split(value: bytes, tree: Tree, taken: Collection[str]) -> tuple[Value | None, Record]:
    """What is left of an object, None if nothing, and what the tree takes out of it. A member whose key is ``taken``,
    or was taken by a member before it, stays where it is."""
    moved: Record = {}
    if not is_object(value):
        return value, moved
    left: Record = {}
    for name, member in members(value).items():
        branch = tree.get(name)
        if isinstance(branch, str):
            text = bytes(member)
            if branch in taken or branch in moved or text == b"null":
                left[name] = member
            else:
                moved[branch] = member
        elif branch is not None:
            inner_left, inner_moved = split(bytes(member), branch, {*taken, *moved})
            moved.update(inner_moved)
            if inner_left is not None:
                left[name] = inner_left
        else:
            left[name] = member
    if not moved:
        return value, moved
    return (object_of(left) if left else None), moved
