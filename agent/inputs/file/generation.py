"""One generation of a log file: which file it is, how far it is read, and the descriptor that keeps it readable
whatever it is renamed to."""

import os
import stat
from typing import ClassVar, Self

import msgspec

from agent.inputs.assembly.assembly import Assembly, Open
from agent.inputs.file.encoding import Encoding
from agent.inputs.file.identity import MIN_CONTENT_BYTES, Fingerprint, Windows, matching_windows, windows_at
from agent.inputs.file.rotation import Inode, Member
from agent.inputs.file.state import VERSION, Position
from agent.inputs.lines import At

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class DamagedError(OSError):
    """A compressed file that is not whole. Raised when it is looked into; it may still be being written."""


class OpenFile:
    """A descriptor, closed when nobody refers to it any more: a read on a thread may outlive the task that asked for
    it, and must not find its number given to another file."""

    __slots__ = ("fd",)
    packed: ClassVar[bool] = False

    def __init__(self, path: str) -> None:
        """Open a regular file for reading. Raises ``OSError``; never blocks on a pipe or a device."""
        self.fd = -1
        self.fd = os.open(path, _OPEN_FLAGS)
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            raise OSError(0, "not a regular file", path)

    def read(self, count: int, offset: int) -> bytes:
        """Up to ``count`` bytes at ``offset``, fewer only at the end."""
        return os.pread(self.fd, count, offset)

    def data_from(self, offset: int) -> int:
        """Where the hole at ``offset`` ends, as far as the file system knows of one."""
        try:
            return os.lseek(self.fd, offset, os.SEEK_DATA)
        except OSError:
            return offset  # nothing but the hole up to the end of the file, or nobody knows

    def left(self, offset: int) -> int:
        """How many bytes there are behind ``offset``."""
        return max(0, os.fstat(self.fd).st_size - offset)

    def check(self) -> int:
        """Look whether all of it can be read, as far as that can be known; its length. Raises ``DamagedError``."""
        return os.fstat(self.fd).st_size

    def rest(self) -> None:
        """Hold nothing but the descriptor until the next read."""

    def inode(self) -> Inode:
        """Which file this is."""
        found = os.fstat(self.fd)
        return found.st_dev, found.st_ino

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Generation:
    """A file from its creation until it is gone or emptied. Owned by one chain; read by one task at a time.

    ``windows.offset`` is how far it is read. ``size`` and ``mtime_ns`` are as last seen, ``changed_at`` is when its
    size was last seen to change (monotonic seconds). ``live``: it is the file at the chain's path. ``gone``: it has
    no name any more that we know of. ``replaced``: its contents are no longer those that were read (truncated).
    ``recorded``: the queue has a position of it. ``assembly`` joins its lines; ``open_events`` are to be given to it
    before anything more is read. ``places`` is what the path says of the container, once it was looked at.

    ``packed``: it was compressed after it was written. Then ``size`` is that of the ``.gz``, the position is one in
    the text, and ``left`` says how many compressed bytes are unread. ``copy`` is the ``.gz`` that was made of a file
    that is gone but still open.
    """

    __slots__ = (
        "assembly",
        "at",
        "changed_at",
        "copy",
        "gone",
        "inode",
        "left",
        "live",
        "mtime_ns",
        "name",
        "open",
        "open_events",
        "packed",
        "path",
        "places",
        "recorded",
        "replaced",
        "size",
        "source",
        "windows",
    )

    def __init__(self, path: str, name: str, inode: Inode, source: str | None = None) -> None:
        self.path = path
        self.name = name
        self.inode = inode
        self.source = os.urandom(8).hex() if source is None else source
        self.windows = Windows()
        self.at = At.LINE
        self.open: OpenFile | None = None
        self.size = 0
        self.mtime_ns = 0
        self.changed_at = 0.0
        self.live = False
        self.gone = False
        self.replaced = False
        self.recorded = False
        self.assembly: Assembly | None = None
        self.open_events: tuple[Open, ...] = ()
        self.places: dict[str, bytes] | None = None
        self.packed = False
        self.left = 0
        self.copy: Member | None = None

    @classmethod
    def of_member(cls, path: str, member: Member, now: float) -> Self:
        """A generation seen for the first time, to be read from its head."""
        generation = cls(path, member.path, member.inode)
        generation.see(member, now)
        return generation

    def see(self, member: Member, now: float) -> None:
        """Take over what a listing shows of this generation."""
        self.name, self.inode, self.live, self.gone = member.path, member.inode, member.live, False
        if member.packed and (not self.packed or member.size != self.size):
            self.packed, self.left, self.open = True, member.size, None
        self.resize(member.size, member.mtime_ns, now)

    def become_copy(self, now: float, *, read_out: bool) -> None:
        """Go on as the ``.gz`` that was made of this file: the same text, the same position, another file."""
        assert self.copy is not None  # the caller asked
        copy, self.copy = msgspec.structs.replace(self.copy, mtime_ns=self.mtime_ns), None
        self.see(copy, now)
        if read_out:
            self.left = 0

    def resize(self, size: int, mtime_ns: int, now: float) -> None:
        """Take over its size and time of last change."""
        if size != self.size:
            self.size, self.changed_at = size, now
        self.mtime_ns = mtime_ns

    @property
    def offset(self) -> int:
        """How far it is read."""
        return self.windows.offset

    @property
    def unread(self) -> int:
        """How many bytes are there to be read, an unfinished last line included."""
        return self.left if self.packed else max(0, self.size - self.windows.offset)

    @property
    def shrunk(self) -> bool:
        """Whether there is less in it than was read."""
        return not self.packed and self.size < self.windows.offset

    @property
    def holding(self) -> bool:
        """Whether lines were read that no batch has held yet."""
        return bool(self.open_events) or (self.assembly is not None and self.assembly.due is not None)

    def position(self, fingerprint: Fingerprint | None = None, at: At | None = None) -> Position:
        """The position reached, or another of the same file."""
        return Position(
            VERSION,
            os.fsencode(self.path),
            os.fsencode(self.name),
            *self.inode,
            self.windows.fingerprint() if fingerprint is None else fingerprint,
            self.at if at is None else at,
            self.mtime_ns,
            self.open_events or (self.assembly.open if self.assembly is not None else ()),
        )


class Stored:
    """A position from the queue whose file has not been found (yet)."""

    __slots__ = ("position", "source")

    def __init__(self, source: str, position: Position) -> None:
        self.source = source
        self.position = position

    @property
    def path(self) -> str:
        """The chain it belongs to."""
        return os.fsdecode(self.position.path)

    def may_be(self, member: Member, *, at_path: bool) -> bool:
        """Whether this member is worth a look: by its inode (devices get new numbers at a reboot), or, in the same
        chain, by contents alone if enough was read of them. ``at_path``: the file that had this inode was emptied
        where it is, so a copy of it is to be expected."""
        if member.packed:  # what it expands to is not known, nor is its inode that of the file it was made of
            return self.position.fingerprint.offset >= 1
        if member.size < self.position.fingerprint.offset:
            return False
        if member.inode[1] == self.position.inode:
            return True
        return self.position.fingerprint.offset >= (1 if at_path else MIN_CONTENT_BYTES)

    def generation(self, member: Member, windows: Windows, now: float) -> Generation:
        """The generation this position is of, found again as ``member``."""
        generation = Generation(self.path, member.path, member.inode, self.source)
        generation.windows, generation.at, generation.recorded = windows, self.position.at, True
        generation.open_events = self.position.open
        generation.see(member, now)
        generation.changed_at = now
        return generation


def open_known(path: str, inode: Inode, *, packed: bool) -> OpenFile:
    """Open the file that a listing showed at this path. Raises ``FileNotFoundError`` if another one has its name by
    now."""
    if packed:
        from agent.inputs.file.packed import PackedFile

        opened: OpenFile = PackedFile(path)
    else:
        opened = OpenFile(path)
    if opened.inode() != inode:
        raise FileNotFoundError(2, "another file has this name by now", path)
    return opened


def recognise(opened: OpenFile, candidates: list[Stored]) -> tuple[Stored, Windows] | None:
    """Which of these positions is one in this file, if any. The one furthest on wins."""
    for stored in sorted(candidates, key=lambda s: s.position.fingerprint.offset, reverse=True):
        windows = matching_windows(opened, stored.position.fingerprint)
        if windows is not None:
            return stored, windows
    return None


def copied(opened: OpenFile, gone: list[Generation]) -> Generation | None:
    """Which of these, whose names are gone, this file is a compressed copy of, if any: of one that is open by what is
    at its end, else by what was read of it."""
    for generation in gone:
        still = generation.open
        if still is not None:
            fingerprint = windows_at(still, generation.size).fingerprint()
        else:
            fingerprint = generation.windows.fingerprint()
        if fingerprint.offset and matching_windows(opened, fingerprint) is not None:
            return generation
    return None


def windows_behind_last_line(opened: OpenFile, size: int, max_line: int, encoding: Encoding) -> Windows:
    """The position behind the last finished line: where reading from the tail begins."""
    encoding = encoding.of_file(opened.read(2, 0))
    begin = max(0, size - max_line * encoding.unit)
    line = encoding.behind_newline(opened.read(size - begin, begin), begin)
    return windows_at(opened, begin + line if line or not begin else size)
