"""Being told that something changed: inotify on the folders. It only wakes; what is true is what a scan finds.

Folders are watched rather than files: one watch serves all files of a folder, and a new or renamed file is seen too.
Where the kernel does not offer inotify or its limits are reached, ``usable`` turns False and the caller looks more
often instead.
"""

import asyncio
import errno
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import msgspec
from inotify_simple import INotify, flags

from agent.log import Log

_STRUCTURE = flags.CREATE | flags.DELETE | flags.MOVED_FROM | flags.MOVED_TO | flags.DELETE_SELF | flags.MOVE_SELF
_WATCHED = flags.MODIFY | _STRUCTURE | flags.ONLYDIR
_LIMITS = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSYS)

_log = Log("inputs.file")


class Changes(msgspec.Struct):
    """What was told since last asked: files written to, and whether names came, went or changed."""

    written: set[str]
    names: bool


class FolderWatch:
    """Sets ``woken`` at the first change, then keeps quiet until ``take`` is called: the events gather in the kernel,
    which merges equal ones."""

    def __init__(self, input_id: str, woken: asyncio.Event) -> None:
        self.usable = False
        self._input = input_id
        self._woken = woken
        self._inotify: INotify | None = None
        self._folders: dict[str, int] = {}
        self._listening = False

    def watch(self, folders: Collection[str]) -> bool:
        """Watch exactly these folders from now on. One that went away meanwhile is left to the scan. True if there is a
        new one among them: what happened in it before now was not told."""
        added = False
        if self._inotify is None:
            return added
        for folder in self._folders.keys() - folders:
            wd = self._folders.pop(folder)
            if wd not in self._folders.values():
                self._forget(wd)
        for folder in folders:
            # A path that is watched may mean another folder by now (renamed, a link that moved on): the kernel says.
            try:
                wd = self._inotify.add_watch(folder, _WATCHED)
            except OSError as error:
                if error.errno in _LIMITS:
                    self._give_up(error)
                continue
            before = self._folders.get(folder)
            self._folders[folder] = wd
            if wd != before:
                added = True
                if before is not None and before not in self._folders.values():
                    self._forget(before)
        return added

    def take(self) -> Changes:
        """What changed since the last call. Listens again.

        All that is not a file written to calls for a look, also that the kernel's queue ran over or a folder's file
        system went away: what was written to meanwhile the look finds by its size.
        """
        changes = Changes(set(), False)
        if self._inotify is None:
            return changes
        paths: dict[int, list[str]] = {}
        for folder, wd in self._folders.items():
            paths.setdefault(wd, []).append(folder)
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.MODIFY:
                changes.written.update(f"{folder}/{event.name}" for folder in paths.get(event.wd, ()))
            else:
                changes.names = True
            if event.mask & flags.IGNORED:
                for folder in paths.get(event.wd, ()):
                    self._folders.pop(folder, None)
        self._listen()
        return changes

    def _listen(self) -> None:
        if self._inotify is not None and not self._listening:
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._readable)
            self._listening = True

    def _readable(self) -> None:
        self._deaf()
        self._woken.set()

    def _deaf(self) -> None:
        if self._inotify is not None and self._listening:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._listening = False

    def _forget(self, wd: int) -> None:
        if self._inotify is not None:
            try:
                self._inotify.rm_watch(wd)
            except OSError as error:
                if error.errno != errno.EINVAL:  # gone with its folder
                    raise

    def _give_up(self, error: OSError) -> None:
        if self.usable:
            _log.warning(
                "The system cannot tell of changes to all files; they are looked at more often",
                input=self._input,
                reason=error,
            )
        self.usable = False

    def _open(self) -> None:
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            self.usable = True
            self._give_up(error)
            return
        self.usable = True
        self._listen()

    def _close(self) -> None:
        self._deaf()
        if self._inotify is not None:
            self._inotify.close()


@contextmanager
def folder_watch(input_id: str, woken: asyncio.Event) -> Iterator[FolderWatch]:
    """A watch for as long as the block lasts. Never fails: without inotify it is one that is not ``usable``."""
    watch = FolderWatch(input_id, woken)
    watch._open()
    try:
        yield watch
    finally:
        watch._close()
