"""Rotated files that were compressed: a ``.gz`` read as the text in it, with positions in that text.

Such a file is only ever read forwards. What was given last is kept, for the next block begins where the last line of
this one did; a position further back costs reading from the beginning. Memory does not depend on what it expands to.
"""

import io
import os
from typing import cast

from isal import igzip, isal_zlib

from agent.inputs.file.generation import DamagedError, OpenFile
from agent.inputs.lines import BLOCK_BYTES

_NOT_DEFLATED = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance


class PackedFile(OpenFile):
    """A descriptor of a ``.gz``. ``length`` is how long the text in it is, once its end was seen."""

    __slots__ = ("_at", "_last", "_stream", "length")
    packed = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.length: int | None = None
        self._stream: igzip.IGzipFile | None = None
        self._at = 0
        self._last = b""

    def read(self, count: int, offset: int) -> bytes:
        """Up to ``count`` bytes of the text at ``offset``, fewer only at its end. Raises ``DamagedError``."""
        if self.length is not None and offset >= self.length:
            return b""
        data = b""
        if self._stream is not None and self._at - len(self._last) <= offset <= self._at:
            data = self._last[len(self._last) - (self._at - offset) :][:count]
        else:
            self._go_to(offset)
        while len(data) < count and (more := self._next(count - len(data))):
            data += more
        # Of what overlaps with the last read nothing was lost: the stream stands at the end of it or of this one.
        if offset + len(data) == self._at:
            self._last = data
        if self.length is not None and offset + len(data) >= self.length:
            self.rest()
        return data

    def check(self) -> int:
        """Read it to its end, where its checksum is. Returns the text's length; raises ``DamagedError``."""
        at = 0
        while data := self.read(BLOCK_BYTES, at):
            at += len(data)
        return at

    def rest(self) -> None:
        """Let go of the decompressor; the next read takes up a new one."""
        self._stream, self._last = None, b""

    def left(self, offset: int) -> int:
        """How many bytes of the file, compressed as they are, lie behind what was read."""
        if self.length is not None and offset >= self.length:
            return 0
        return max(1, os.fstat(self.fd).st_size - os.lseek(self.fd, 0, os.SEEK_CUR))

    def data_from(self, offset: int) -> int:
        """There are no holes in it."""
        return offset

    def _go_to(self, offset: int) -> None:
        if self._stream is None or self._at > offset:
            os.lseek(self.fd, 0, os.SEEK_SET)
            self._stream = igzip.IGzipFile(fileobj=io.FileIO(self.fd, closefd=False))  # type: ignore[no-untyped-call]
            self._at = 0
        self._last = b""
        while self._at < offset and self._next(min(BLOCK_BYTES, offset - self._at)):
            pass

    def _next(self, count: int) -> bytes:
        assert self._stream is not None
        try:
            data = self._stream.read(count)
        except (OSError, EOFError, _NOT_DEFLATED) as error:
            self.rest()
            raise DamagedError(0, f"not a whole gzip file: {error}") from None
        self._at += len(data)
        if not data:
            self.length = self._at
        return data
