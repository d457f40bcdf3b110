"""A chain: the generations of one log file, oldest first, and what becomes of each when the folder changes.

The rules that need more than one chain (a file renamed from one followed path to another, a file at two paths) are
the catalogue's.
"""

import os
from collections.abc import Collection

from agent.inputs.file.generation import Generation, Stored
from agent.inputs.file.rotation import Inode, Member, oldest_first, to_be_read
from agent.log import Log

RETIRED_KEPT = 8
"""How many rotated files that are read out keep their position: the newest. Older ones are told by being older."""

_log = Log("inputs.file")


class Chain:
    """One followed path.

    ``generations`` are those with something to read or that may still grow, oldest first. ``retired`` are rotated,
    read to the end and closed; their positions are kept while the files are there, so that they are not taken for new
    ones. ``lost`` are positions whose file is not where it should be. ``notes`` are what the queue is to be told
    before anything more is read: where a generation stands, or the name of a source to be forgotten.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.generations: list[Generation] = []
        self.retired: list[Generation] = []
        self.lost: list[Stored] = []
        self.notes: list[Generation | str] = []
        self.seen = False
        self.active = False
        self.wanted = False

    def all(self) -> Collection[Generation]:
        """Every generation whose position is known and whose file was found."""
        return [*self.generations, *self.retired]

    def names(self) -> set[str]:
        """Where its files last were."""
        return {g.name for g in self.all()} | {os.fsdecode(stored.position.name) for stored in self.lost}

    def newer_has_data(self, generation: Generation) -> bool:
        """Whether a later generation has begun: then this one is over."""
        behind = self.generations[self.generations.index(generation) + 1 :]
        return any(newer.size for newer in behind)

    def has_work(self) -> bool:
        """Whether a look at the files is due, judging by what was last seen."""
        return bool(self.notes) or any(g.unread or g.gone or g.holding or g.shrunk for g in self.generations)

    def drop_replaced(self) -> None:
        """Files whose contents were replaced: their positions may be found again in a copy. Only between reads."""
        for generation in [g for g in self.generations if g.replaced]:
            self.generations.remove(generation)
            self._lose(generation)

    def see(self, members: list[Member], now: float) -> None:
        """Take over what a listing shows of the generations known."""
        by_inode = {member.inode: member for member in members}
        for generation in self.generations:
            member = by_inode.get(generation.inode)
            if member is not None:
                generation.see(member, now)
            else:
                generation.live, generation.gone = False, True
            if generation.copy is not None and generation.copy.inode not in by_inode:
                generation.copy = None
        known = {generation.inode for generation in self.all()}
        may_be_packed = any(member.packed and member.inode not in known for member in members)
        for generation in list(self.retired):
            member = by_inode.get(generation.inode)
            if member is None:
                self.retired.remove(generation)
                if may_be_packed:
                    self._lose(generation)
                else:
                    self.forget(generation.source, recorded=generation.recorded)
                continue
            # Late lines, or another file under the same inode: reading will tell.
            changed = (member.size, member.mtime_ns) != (generation.size, generation.mtime_ns)
            generation.see(member, now)
            if changed and (generation.unread or generation.shrunk):
                self.retired.remove(generation)
                self.generations.insert(0, generation)

    def wanted_members(self, members: list[Member], began_ns: int) -> list[Member]:
        """Which members not known are to be read whole, oldest first."""
        here = {member.inode for member in members}
        gone = [lost.position.mtime_ns for lost in self.lost]
        gone += [generation.mtime_ns for generation in self.all() if generation.inode not in here]
        vanished = max(gone, default=None)
        return to_be_read(oldest_first(members), {generation.inode for generation in self.all()}, vanished, began_ns)

    def adopt(self, generation: Generation) -> None:
        """Follow a generation that was just found."""
        self.generations.append(generation)

    def sort(self, members: list[Member]) -> None:
        """Put the generations in the order they were written; those without a name are older than those with one."""
        rank = {member.inode: i for i, member in enumerate(oldest_first(members))}
        self.generations.sort(key=lambda g: rank.get(g.inode, -1))

    def settle_lost(self) -> None:
        """When there is something to go on with, positions whose file was not found are forgotten."""
        if self.lost and self.generations:
            for stored in self.lost:
                self.forget(stored.source, recorded=True)
            self.lost.clear()

    def retire(self, now: float, rest_secs: float, members: list[Member], present: Collection[Inode]) -> None:
        """Close rotated files that are read out and have rested. Only between reads. Those that are ``present``, but
        not among this path's members, belong to another path, which takes them over at the next look."""
        for generation in list(self.generations):
            done = not generation.live and not generation.unread and now - generation.changed_at >= rest_secs
            if not done or generation.replaced or generation.holding:
                continue
            self.generations.remove(generation)
            generation.open = None
            if generation.copy is not None:
                generation.become_copy(now, read_out=True)
            if generation.inode in present:
                self.retired.append(generation)
            else:
                self.forget(generation.source, recorded=generation.recorded)
        here = {member.inode for member in members}
        kept = sorted((g for g in self.retired if g.inode in here), key=lambda g: g.mtime_ns)
        for generation in kept[: max(0, len(kept) - RETIRED_KEPT)]:
            self.retired.remove(generation)
            self.forget(generation.source, recorded=generation.recorded)

    def lose_unopened(self, generation: Generation) -> None:
        """Its file is gone and was not open: whatever was unread is out of reach."""
        self.generations.remove(generation)
        if generation.unread:
            _log.warning(
                "A file went away before it was read to its end", path=generation.name, unread=generation.unread
            )
        self.forget(generation.source, recorded=generation.recorded)

    def note_position(self, generation: Generation) -> None:
        """Have the queue told where this generation stands, unless a record says so first."""
        self.notes.append(generation)

    def forget(self, source: str, *, recorded: bool) -> None:
        """Have the queue forget a source. What is there instead is made known first: otherwise, after a crash in
        between, it would count as never seen."""
        if not recorded:
            return
        for generation in self.generations:
            if not generation.recorded and not generation.replaced:
                self.note_position(generation)
        self.notes.append(source)

    def _lose(self, generation: Generation) -> None:
        if generation.recorded:
            self.lost.append(Stored(generation.source, generation.position()))
