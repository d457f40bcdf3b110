"""Everything an input follows: chains, and which file belongs to which.

A look at the folders goes in three steps, so that this state is touched by one task only: ``list_files`` (on a
thread) says what is there, ``questions`` says which files must be looked into to know what they are, ``examine`` (on
a thread) looks, ``apply`` draws the conclusions.
"""

import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from agent.inputs.file.chain import Chain
from agent.inputs.file.config import FileConfig
from agent.inputs.file.encoding import Encoding
from agent.inputs.file.generation import (
    DamagedError,
    Generation,
    OpenFile,
    Stored,
    copied,
    open_known,
    recognise,
    windows_behind_last_line,
)
from agent.inputs.file.identity import Windows
from agent.inputs.file.listing import Listing
from agent.inputs.file.rotation import Inode, Member, oldest_first
from agent.inputs.file.state import decode_position
from agent.log import Log

STILL_MADE_SECS = 60
"""A compressed file that is not whole counts as damaged when it has not changed for so long."""
MAX_LOST = 10_000
"""Positions of files that are not there, at most; beyond it the longest untouched are forgotten."""
LOST_SECS = 24 * 3600.0
"""How long the position of a file that is not there is kept while the agent runs: its folder may not be mounted yet."""

_log = Log("inputs.file")


class Question(msgspec.Struct):
    """A file to be looked into: is it one of these? ``gone`` are generations it may be a compressed copy of. ``tail``:
    if it is none, where does its last line end?"""

    chain: str
    member: Member
    candidates: list[Stored]
    gone: list[Generation]
    tail: bool


class Answer(msgspec.Struct):
    """What a look into the file showed. ``opened`` is None if it could not be opened, for the reason in ``error``."""

    opened: OpenFile | None = None
    recognised: tuple[Stored, Windows] | None = None
    copy_of: Generation | None = None
    tail: Windows | None = None
    error: OSError | None = None


def examine(questions: list[Question], max_line: int, encoding: Encoding, may_stay_open: int) -> list[Answer]:
    """Look into the files; keep up to ``may_stay_open`` of them open, so that they stay readable whatever becomes of
    their names. Runs on a thread."""
    answers: list[Answer] = []
    for question in questions:
        answer = Answer()
        try:
            packed = question.member.packed
            answer.opened = open_known(question.member.path, question.member.inode, packed=packed)
            size = answer.opened.check() if packed else question.member.size
            answer.recognised = recognise(answer.opened, question.candidates)
            if answer.recognised is None:
                answer.copy_of = copied(answer.opened, question.gone)
            if question.tail and answer.recognised is None:
                answer.tail = windows_behind_last_line(answer.opened, size, max_line, encoding)
            answer.opened.rest()
            if len(answers) >= may_stay_open:
                answer.opened = None
        except OSError as error:
            answer.opened, answer.error = None, error
        answers.append(answer)
    return answers


class Catalogue:
    """The chains of one input and the positions they began with."""

    def __init__(self, config: FileConfig, positions: Mapping[str, bytes], monotonic: Callable[[], float]) -> None:
        self.chains: dict[str, Chain] = {}
        self._config = config
        self._monotonic = monotonic
        self._first_look = True
        self._began = monotonic()
        self._began_ns = time.time_ns()
        self._damaged: dict[Inode, Member] = {}
        for source, state in positions.items():
            try:
                stored = Stored(source, decode_position(state))
            except ValueError as error:
                _log.error(
                    "A stored position cannot be used; its file is read as if never seen", source=source, reason=error
                )
                continue
            self._chain(stored.path).lost.append(stored)

    def known(self) -> dict[Inode, tuple[Chain, Generation]]:
        """The files whose position is known, by inode."""
        known = {g.inode: (chain, g) for chain in self.chains.values() for g in chain.all() if not g.replaced}
        copies = {g.copy.inode: (chain, g) for chain, g in known.values() if g.copy is not None}
        return {**copies, **known}

    def questions(self, listing: Listing) -> list[Question]:
        """Take over what is plain to see, and ask about the rest."""
        now = self._monotonic()
        for chain in self.chains.values():
            if not chain.active:
                chain.drop_replaced()
        self._rehome(listing)
        self._leave_damaged(listing)
        for path, members in listing.chains.items():
            self._chain(path).see(members, now)
        known = self.known()
        _date(listing, known)
        by_inode_number: dict[int, list[Stored]] = {}
        for chain in self.chains.values():
            for stored in chain.lost:
                by_inode_number.setdefault(stored.position.inode, []).append(stored)
        asked: list[Question] = []
        seen: set[Inode] = set(known)
        # Chains that have been read before come first: a file at two paths stays with the one it was read at.
        for path in sorted(listing.chains, key=lambda p: (not self.chains[p].seen and not self.chains[p].lost, p)):
            chain = self.chains[path]
            unknown = [member for member in listing.chains[path] if member.inode not in seen]
            emptied = {stored.position.inode for stored in chain.lost} & {m.inode[1] for m in unknown if m.live}
            mine = [member for member in listing.chains[path] if member.inode not in seen or member.inode in known]
            wanted = {member.inode for member in self._wanted(chain, mine)}
            gone = [g for g in chain.generations if g.gone and not g.replaced and g.copy is None]
            # Oldest first: of two that begin alike, what was read of the one is of the older.
            for member in oldest_first(unknown):
                candidates = [
                    stored
                    for stored in {*by_inode_number.get(member.inode[1], ()), *chain.lost}
                    if stored.may_be(member, at_path=stored.position.inode in emptied)
                ]
                copies = gone if member.packed else []
                if candidates or copies or member.inode in wanted:
                    seen.add(member.inode)
                    tail = self._first_look and self._config.start == "tail" and not chain.lost and not chain.seen
                    asked.append(Question(path, member, candidates, copies, tail))
        return asked

    def apply(self, listing: Listing, questions: list[Question], answers: list[Answer]) -> bool:
        """Draw the conclusions: follow what is new, go on with what was found again, forget what is gone. False if
        files were renamed meanwhile: then nothing was concluded about their chains, and another look is due."""
        now = self._monotonic()
        strangers: dict[str, list[tuple[Question, Answer]]] = {}
        unreadable: set[str] = set()
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer.error, FileNotFoundError):
                # Following its successors now would make it too old to be read later.
                listing.chains.pop(question.chain, None)
                listing.unsettled = True
            elif question.member.packed and isinstance(answer.error, DamagedError):
                if time.time_ns() - question.member.mtime_ns < STILL_MADE_SECS * 1e9:
                    unreadable.add(question.chain)
                    continue
                path, reason = question.member.path, answer.error
                _log.error("A compressed file is damaged; it is left alone until it changes", path=path, reason=reason)
                self._damaged[question.member.inode] = question.member
            elif answer.error is not None:
                path, error = question.member.path, answer.error
                _log.error("A file cannot be read; it is tried again at every scan", path=path, reason=error)
                unreadable.add(question.chain)
            elif answer.recognised is not None and self._found_again(question, answer, now):
                continue
            elif answer.copy_of is not None and answer.copy_of.copy is None:
                answer.copy_of.copy = question.member
            else:
                strangers.setdefault(question.chain, []).append((question, answer))
        known = self.known()
        _date(listing, known)
        present = {member.inode for members in listing.chains.values() for member in members}
        for path, members in listing.chains.items():
            chain = self.chains[path]
            self._follow_new(chain, members, strangers.get(path, []), known, now)
            chain.seen = chain.seen or bool(members)
            chain.sort(members)
            if path not in unreadable:  # or the very file that cannot be read would be forgotten
                chain.settle_lost()
        for path, chain in list(self.chains.items()):
            if chain.active or path not in listing.chains:
                continue
            for generation in [g for g in chain.generations if g.gone and g.open is None and not g.replaced]:
                if generation.copy is not None:
                    generation.become_copy(now, read_out=False)
                else:
                    chain.lose_unopened(generation)
            chain.retire(now, self._config.partial_after, listing.chains[path], present)
            if not (chain.generations or chain.retired or chain.lost or chain.notes or listing.chains[path]):
                del self.chains[path]
        self._expire(now)
        self._first_look = self._first_look and listing.unsettled
        return not listing.unsettled

    def _leave_damaged(self, listing: Listing) -> None:
        """Files that were found damaged are as good as not there, until they change."""
        there = {member.inode: member for members in listing.chains.values() for member in members}
        still = {i: m for i, m in self._damaged.items() if i in there and _same(m, there[i])}
        self._damaged = still
        for members in listing.chains.values():
            members[:] = [member for member in members if member.inode not in still]

    def _chain(self, path: str) -> Chain:
        return self.chains.setdefault(path, Chain(path))

    def _wanted(self, chain: Chain, members: list[Member]) -> list[Member]:
        wanted = chain.wanted_members(members, self._began_ns)
        limit = self._config.ignore_older
        if limit is None or chain.generations or chain.retired or chain.lost:
            return wanted
        oldest_ns = time.time_ns() - int(limit * 1e9)
        return [member for member in wanted if member.mtime_ns >= oldest_ns]

    def _rehome(self, listing: Listing) -> None:
        """A rotated file whose new name is a followed path of its own belongs to that path from when it is read out."""
        at_path = {m.inode: path for path, members in listing.chains.items() for m in members if m.live}
        for chain in list(self.chains.values()):
            own = {member.inode for member in listing.chains.get(chain.path, ())}
            for generation in list(chain.retired):
                path = at_path.get(generation.inode)
                if path is not None and path != chain.path and generation.inode not in own:
                    chain.retired.remove(generation)
                    self._chain(path).generations.insert(0, generation)

    def _found_again(self, question: Question, answer: Answer, now: float) -> bool:
        assert answer.recognised is not None  # the caller asked
        stored, windows = answer.recognised
        for chain in self.chains.values():
            if stored in chain.lost:
                chain.lost.remove(stored)
                member = question.member
                if member.packed:
                    member = msgspec.structs.replace(member, mtime_ns=stored.position.mtime_ns)
                generation = stored.generation(member, windows, now)
                generation.open = answer.opened
                self.chains[question.chain].adopt(generation)
                return True
        return False  # another file was recognised as this one already

    def _follow_new(
        self,
        chain: Chain,
        members: list[Member],
        strangers: list[tuple[Question, Answer]],
        known: Collection[Inode],
        now: float,
    ) -> None:
        here = {question.member.inode for question, _ in strangers}
        mine = [member for member in members if member.inode in here or member.inode in known]
        wanted = {member.inode for member in self._wanted(chain, mine)}
        for question, answer in strangers:
            if question.member.inode not in wanted:
                continue
            generation = Generation.of_member(chain.path, question.member, now)
            generation.changed_at = now
            generation.open = answer.opened
            if answer.tail is not None:
                generation.windows = answer.tail
                chain.note_position(generation)
            chain.adopt(generation)

    def _expire(self, now: float) -> None:
        lost = [(stored.position.mtime_ns, chain, stored) for chain in self.chains.values() for stored in chain.lost]
        too_many = max(0, len(lost) - MAX_LOST)
        if now - self._began >= LOST_SECS:
            too_many = len(lost)
        for _, chain, stored in sorted(lost, key=lambda item: item[0])[:too_many]:
            chain.lost.remove(stored)
            chain.forget(stored.source, recorded=True)


def _same(one: Member, other: Member) -> bool:
    return (one.size, one.mtime_ns) == (other.size, other.mtime_ns)


def _date(listing: Listing, known: Mapping[Inode, tuple[Chain, Generation]]) -> None:
    """Give compressed files the time of the last line in them, where that is known, in place of that of their making:
    what was written after those lines, and not compressed yet, would count as older."""
    for members in listing.chains.values():
        for i, member in enumerate(members):
            if member.packed and member.inode in known:
                members[i] = msgspec.structs.replace(member, mtime_ns=known[member.inode][1].mtime_ns)
