"""The last of what went by: kept for the record of the model's end."""

from typing import Final

MAX_BYTES: Final = 16 * 1024
MAX_LINES: Final = 100


class Tail:
    """The last lines of a stream of bytes, at most ``MAX_LINES`` and ``MAX_BYTES``."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """More of the stream."""
        self._bytes += data[-MAX_BYTES:]
        if len(self._bytes) > 2 * MAX_BYTES:
            del self._bytes[:-MAX_BYTES]

    def text(self) -> str:
        """The last lines, whole ones unless the last alone is too long; what is not UTF-8 is replaced."""
        kept = bytes(self._bytes[-MAX_BYTES:])
        if len(self._bytes) > MAX_BYTES and b"\n" in kept.rstrip(b"\n"):
            kept = kept[kept.index(b"\n") + 1 :]
        lines = kept.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
        return "\n".join(lines[-MAX_LINES:])
