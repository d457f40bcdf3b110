"""The folder of one output's dead letters: its files, its lock, and how letters leave it. Blocking."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from agent.delivery.dead_letters.config import DEAD_LETTERS
from agent.delivery.dead_letters.letter import letters_in

LETTERS: Final = ".ndjson"
CLAIMED: Final = ".replaying"
_REST: Final = ".rest"
_COUNTS: Final = "counts.json"
_LOCK: Final = "lock"
_WORK_LOCK: Final = "work.lock"
_LOOKS: Final = 100
"""How often counting is begun anew because a command changes the folder at the same time."""


class Counts(msgspec.Struct, omit_defaults=True):
    """What ``counts.json`` holds: letters that left the store, ever, and how; the letters in each file that is full, by
    its number; the names of files that are gone, though they may still be there; the highest number given."""

    replayed: int = 0
    purged: int = 0
    expired: int = 0
    letters: dict[int, int] = {}
    gone: list[str] = []
    last: int = 0


class DeadLetterCounts(msgspec.Struct, frozen=True):
    """The dead letters of one output: in the store now, and those that left it since it was made. ``bytes`` are those
    of the files."""

    kept: int = 0
    replayed: int = 0
    purged: int = 0
    expired: int = 0
    bytes: int = 0


class AtWork(Exception):
    """Another command works on these letters; it must end first. Nothing was changed."""


class LetterFolder:
    """One output's folder. What reads it takes no lock and needs no right to write; what changes it holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # Reading.

    def files(self) -> list[Path]:
        """The files that hold letters, oldest first, those claimed by a command among them."""
        gone = self.counts().gone
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                path = Path(entry)
                left = path.suffix == _REST and path.with_suffix(CLAIMED).name in gone
                if (left or _holds_letters(path)) and path.name not in gone and entry.is_file(follow_symlinks=False):
                    found.append(path)
        return sorted(found, key=lambda path: int(path.stem))

    def lines(self) -> Iterator[bytes]:
        """Every line of every file, oldest first, one at a time. A file that is claimed or given back meanwhile is read
        under its other name; one that is gone by then is passed over."""
        for path in self.files():
            for name in (path, path.with_suffix(CLAIMED), path.with_suffix(LETTERS)):
                with contextlib.suppress(FileNotFoundError), name.open("rb") as file:
                    yield from file
                    break

    def counts(self) -> Counts:
        """What left the store; nothing when that was never written or cannot be read."""
        try:
            return msgspec.json.decode((self.path / _COUNTS).read_bytes(), type=Counts)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return Counts()

    # Changing.

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one change; waits for another's. Makes the folder if it is missing."""
        self._make()
        handle = self._create(_LOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Be the one command that claims files. Raises ``AtWork`` when there is another. What a command that died had
        claimed is in the store again, and on leaving what this one has."""
        self._make()
        handle = self._create(_WORK_LOCK)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AtWork(f"another command is at work on the dead letters in {self.path}") from None
            self._take_back()
            try:
                yield
            finally:
                self._take_back()
        finally:
            os.close(handle)

    def take_back_unless_working(self) -> None:
        """Take back what a command that died had claimed."""
        with contextlib.suppress(AtWork), self.working():
            pass

    def claim(self, path: Path) -> Path | None:
        """Take a file for the command that is ``working``: the agent neither appends to it nor deletes it. None when it
        is gone."""
        with self.locked():
            claimed = path.with_suffix(CLAIMED)
            try:
                path.rename(claimed)
            except FileNotFoundError:
                return None
            return claimed

    def release(self, claimed: Path) -> None:
        """Give a claimed file back as it is."""
        with self.locked():
            claimed.rename(claimed.with_suffix(LETTERS))

    def leave(self, claimed: Path, lines: Iterable[bytes], *, replayed: int = 0, purged: int = 0) -> None:
        """Let only these lines remain of a claimed file, and count what left. All of it happens, or nothing."""
        rest = claimed.with_suffix(_REST)
        before = claimed.stat()
        handle = self._create(rest.name, os.O_WRONLY | os.O_TRUNC)
        with os.fdopen(handle, "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
            empty = file.tell() == 0
        os.utime(rest, ns=(before.st_atime_ns, before.st_mtime_ns))  # the letters in it are no younger
        if empty:
            rest.unlink()
        with self.locked():
            self.remove([claimed], replayed=replayed, purged=purged)

    def remove(self, paths: Iterable[Path], *, replayed: int = 0, purged: int = 0, expired: int = 0) -> None:
        """Files leave the store, each but for its ``.rest`` if it has one. Under ``locked``."""
        counts = self.counts()
        counts.replayed += replayed
        counts.purged += purged
        counts.expired += expired
        for path in paths:
            counts.letters.pop(int(path.stem), None)
            counts.gone.append(path.name)
        counts.last = self._last(counts)
        self._write(counts)
        self._sweep()

    def note(self, path: Path) -> None:
        """Remember how many letters a full file holds. Under ``locked``."""
        counts = self.counts()
        counts.letters[int(path.stem)] = count_letters(path)
        self._write(counts)

    def next_file(self) -> Path:
        """The file behind all others, not made yet. Under ``locked``."""
        return self.path / f"{self._last(self.counts()) + 1:08d}{LETTERS}"

    def create(self, path: Path) -> int:
        """Open a file of letters for appending, making it durably if it is new. Under ``locked``."""
        is_new = not path.exists()
        handle = self._create(path.name, os.O_WRONLY | os.O_APPEND)
        if is_new:
            try:
                self._sync()
            except OSError:
                os.close(handle)
                path.unlink()  # or it would not be new the next time
                raise
        return handle

    def _last(self, counts: Counts) -> int:
        return max([counts.last, *(int(path.stem) for path in self.path.iterdir() if _holds_letters(path))])

    def _take_back(self) -> None:
        with self.locked():
            self._sweep()
            for claimed in self.path.glob(f"*{CLAIMED}"):
                # Both are there only if ``counts.json`` was lost at a bad moment: then both are kept.
                free = claimed.with_suffix(LETTERS)
                claimed.rename(self.next_file() if free.exists() else free)
            for rest in self.path.glob(f"*{_REST}"):
                rest.unlink()  # of a file that is still whole

    def _sweep(self) -> None:
        """Finish the removals that ``counts.json`` decided."""
        counts = self.counts()
        if not counts.gone:
            return
        for path in map(self.path.joinpath, counts.gone):
            if path.suffix == CLAIMED:
                with contextlib.suppress(FileNotFoundError):
                    path.with_suffix(_REST).rename(path.with_suffix(LETTERS))
            path.unlink(missing_ok=True)
        self._sync()
        counts.gone = []
        self._write(counts)

    def _write(self, counts: Counts) -> None:
        fresh = f"{_COUNTS}.new"
        with os.fdopen(self._create(fresh, os.O_WRONLY | os.O_TRUNC), "wb") as file:
            file.write(msgspec.json.encode(counts))
            file.flush()
            os.fsync(file.fileno())
        os.rename(self.path / fresh, self.path / _COUNTS)
        self._sync()

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o750, exist_ok=True)
            for folder in (self.path.parent, self.path):
                _take_owner_of(folder.parent, folder)
                _sync_folder(folder.parent)

    def _create(self, name: str, flags: int = os.O_RDWR) -> int:
        """Open a file of the folder, making it if it is missing. It belongs to the folder's owner even when root runs a
        command, or the agent could not open it any more."""
        path = self.path / name
        handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            _take_owner_of(self.path, path)
        except OSError:
            os.close(handle)
            raise
        return handle

    def _sync(self) -> None:
        _sync_folder(self.path)


def letter_folders(queue: Path) -> dict[str, LetterFolder]:
    """The dead letters in a queue's folder, by the output that refused them."""
    root = queue / DEAD_LETTERS
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return {name: LetterFolder(root / name) for name in names}


def dead_letter_counts(folder: Path) -> DeadLetterCounts:
    """The numbers of one output's folder; zeros when there is none. Reads its newest file at most, which is of a few
    MiB; writes nothing, takes no lock."""
    there = LetterFolder(folder)
    for _ in range(_LOOKS):
        counts = there.counts()
        kept = size = 0
        try:
            for path in there.files():
                size += path.stat().st_size
                known = counts.letters.get(int(path.stem))
                kept += count_letters(path) if known is None else known
        except FileNotFoundError:
            continue  # it has another name by now
        if there.counts() == counts:  # or letters left meanwhile, and would be counted twice or not at all
            break
    return DeadLetterCounts(kept, counts.replayed, counts.purged, counts.expired, size)


def _holds_letters(path: Path) -> bool:
    return path.suffix in (LETTERS, CLAIMED) and path.stem.isascii() and path.stem.isdigit()


def count_letters(path: Path) -> int:
    """The letters in a file."""
    with path.open("rb") as file:
        return sum(1 for _ in letters_in(file))


def _take_owner_of(folder: Path, path: Path) -> None:
    if os.geteuid() == 0:
        owner, mine = folder.stat(), path.lstat()
        if (owner.st_uid, owner.st_gid) != (mine.st_uid, mine.st_gid):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
