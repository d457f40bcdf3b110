"""The cursor files of a queue folder. Blocking; runs on the queue's reading thread, but for ``own``, ``touch`` and
``take``."""

from pathlib import Path

import msgspec

from agent.queue.cursor import PREFIX, SLOT_BYTES, Cursor, encode_cursor, encode_slot
from agent.queue.disk import Disk
from agent.queue.recovery import FORGOTTEN


class _File(msgspec.Struct, eq=False):
    """``generation`` is the last one written, ``durable`` the last one a sync made durable."""

    generation: int
    durable: int
    handle: int | None = None
    dirty: bool = False


class CursorFiles:
    """Every cursor in the folder, with the file it is written to."""

    def __init__(self, disk: Disk, folder: Path, found: dict[str, tuple[Cursor, int]]) -> None:
        self.cursors: dict[str, Cursor] = {output: cursor for output, (cursor, _) in found.items()}
        self.encoded = {output: encode_cursor(cursor) for output, cursor in self.cursors.items()}
        """Each cursor whole, as it was when it was last taken."""
        self._files = {output: _File(generation, generation) for output, (_, generation) in found.items()}
        self._disk = disk
        self._folder = folder

    def own(self, output: str, cursor: Cursor) -> None:
        """This is the output's cursor from now on."""
        self.cursors[output] = cursor
        self.encoded = {**self.encoded, output: encode_cursor(cursor)}
        self._files.setdefault(output, _File(0, 0)).dirty = True

    def touch(self, output: str) -> None:
        """The cursor moved: the next ``write`` writes it."""
        self._files[output].dirty = True

    def take(self) -> list[tuple[str, bytes]]:
        """What is to be written: every cursor that moved, encoded, as of now. On the event loop, where cursors change,
        so that each is whole."""
        taken = []
        for output, file in self._files.items():
            if file.dirty:
                file.dirty = False
                self.encoded = {**self.encoded, output: encode_cursor(self.cursors[output])}
                taken.append((output, self.encoded[output]))
        return taken

    def write(self, taken: list[tuple[str, bytes]], *, durable: bool) -> None:
        """Write what was taken; survives the process, and with ``durable`` the power, also for what was written before.
        Raises ``OSError``: what was taken counts as moved again."""
        try:
            for output, payload in taken:
                file = self._files[output]
                if file.handle is None:
                    file.handle = self._open(output)
                # Never over the last durable slot: it is all that is left if this write tears.
                generation = file.generation + (1 if (file.generation + 1 - file.durable) % 2 else 2)
                self._disk.write(file.handle, [encode_slot(payload, generation)], (generation % 2) * SLOT_BYTES)
                file.generation = generation
            for file in self._files.values():
                if durable and file.durable != file.generation and file.handle is not None:
                    self._disk.sync(file.handle)
                    file.durable = file.generation
        except OSError:
            for output, _ in taken:
                self._files[output].dirty = True
            raise

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            if file.handle is not None:
                self._disk.close(file.handle)
                file.handle = None

    def _open(self, output: str) -> int:
        path = self._folder / f"{PREFIX}{output}"
        try:
            handle = self._disk.open(path, write=True)
        except FileNotFoundError:
            handle = self._disk.create(path)
        try:
            if self._disk.size(handle) < 2 * SLOT_BYTES:
                # Real zeros, not a hole: the blocks must be there when the disk is full.
                size = self._disk.size(handle)
                self._disk.write(handle, [bytes(2 * SLOT_BYTES - size)], size)
            # Also of a file that was there: what the process before wrote to it need not be durable yet.
            self._disk.sync(handle)
            if f"{FORGOTTEN}{output}" in self._disk.names(self._folder):
                self._disk.unlink(self._folder / f"{FORGOTTEN}{output}")
            self._disk.sync_folder(self._folder)
        except OSError:
            self._disk.close(handle)
            raise
        return handle
