"""The agent's side of the store: puts letters in and keeps it in its bounds. Blocking."""

import os
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.delivery.dead_letters.config import DEAD_LETTERS, DeadLettersConfig
from agent.delivery.dead_letters.folder import (
    CLAIMED,
    LETTERS,
    LetterFolder,
    count_letters,
    letter_folders,
)
from agent.delivery.dead_letters.letter import DeadLetter, letter_of, letters_in, line_of
from agent.log import Log

_FILE_BYTES: Final = 4 * 1024**2
_FEWEST_FILES: Final = 10
"""Files are deleted whole, so one is full at 4 MiB, and at this part of ``max_bytes``, and when its first letter is
older than this part of ``max_age``."""
_log = Log("dead-letters")


class DeadLetters:
    """The store of one output. May be used from several threads at once."""

    def __init__(self, folder: Path, config: DeadLettersConfig) -> None:
        self._folder = LetterFolder(folder)
        self._config = config
        self._before: set[str] | None = None

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """Append, durably. Raises ``OSError``; then nothing counts as stored, though some of it may be.

        A letter that is there already, because the agent was killed before it could note so, stays as it is.
        """
        with self._folder.locked():
            before = self._put_before()
            data = b"".join(line_of(letter) for letter in letters if letter.id not in before)
            if data:
                self._append(data)
        self.expire()

    def expire(self) -> None:
        """Delete what is too old, and the oldest of what is too much; counted as expired. What a command left behind
        that died belongs to the store again. A disk that does not let us is told, and tried again."""
        try:
            if self._folder.path.is_dir():
                if any(path.suffix == CLAIMED for path in self._folder.files()):
                    self._folder.take_back_unless_working()
                with self._folder.locked():
                    self._expire()
        except OSError as error:
            _log.warning("The dead letters cannot be kept in their bounds", path=str(self._folder.path), error=error)

    def _append(self, data: bytes) -> None:
        path = self._open_file() or self._folder.next_file()
        handle = self._folder.create(path)
        try:
            start = os.fstat(handle).st_size
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(handle, view) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, start)
                raise
        finally:
            os.close(handle)

    def _open_file(self) -> Path | None:
        """The newest file, if it can be appended to."""
        newest = next(reversed(self._folder.files()), None)
        if newest is None or newest.suffix != LETTERS:
            return None
        size = newest.stat().st_size
        if size >= min(_FILE_BYTES, self._config.max_bytes / _FEWEST_FILES):
            return None
        if size == 0:
            return newest
        with newest.open("rb") as file:
            first = letter_of(file.readline())
            if first is None or _age_secs(first) > self._config.max_age / _FEWEST_FILES:
                return None
            file.seek(-1, os.SEEK_END)
            return newest if file.read() == b"\n" else None

    def _put_before(self) -> set[str]:
        """The ids of the newest letters an earlier process put; found once, when the first letter comes."""
        if self._before is None:
            before: set[str] = set()
            for path in self._folder.files()[-2:]:
                with path.open("rb") as file:
                    before.update(letter.id for letter in letters_in(file))
            self._before = before
        return self._before

    def _expire(self) -> None:
        files = [(path, path.stat()) for path in self._folder.files() if path.suffix != CLAIMED]
        noted = self._folder.counts().letters
        for path, _ in files[:-1]:
            if int(path.stem) not in noted:
                self._folder.note(path)
        total = sum(stat.st_size for _, stat in files)
        oldest = time.time() - self._config.max_age
        leaving, letters = [], 0
        for path, stat in files:
            too_much = total > self._config.max_bytes and path != files[-1][0]
            if not too_much and stat.st_mtime > oldest:
                break
            leaving.append(path)
            letters += noted.get(int(path.stem)) or count_letters(path)
            total -= stat.st_size
        if leaving:
            self._folder.remove(leaving, expired=letters)
            _log.error("Old dead letters are deleted to keep the store in its bounds",
                       path=str(self._folder.path), records=letters)  # fmt: skip


def expire_all(queue: Path, config: DeadLettersConfig) -> None:
    """Keep the store of every output in its bounds, those of outputs no longer configured too."""
    try:
        folders = letter_folders(queue)
    except OSError as error:
        _log.warning("The dead letters cannot be kept in their bounds", path=str(queue / DEAD_LETTERS), error=error)
        return
    for folder in folders.values():
        DeadLetters(folder.path, config).expire()


def _age_secs(letter: DeadLetter) -> float:
    try:
        return time.time() - datetime.fromisoformat(letter.time).timestamp()
    except ValueError:
        return float("inf")
