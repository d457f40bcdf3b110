"""Text that is not UTF-8: blocks of a file as lines of UTF-8, with their positions in bytes of the file.

Supported are the encodings in which every character takes the same number of bytes (the single-byte code pages), or
one or two units of two (UTF-16), so that a position in the UTF-8 text tells one in the file. What cannot be decoded
becomes a byte that is not UTF-8, which marks its record as ``invalid_utf8`` like any other.

A file may begin with what is no text: a byte order mark, and before that the hole of NULs that a writer not in append
mode leaves when its file is truncated.
"""

import codecs

import msgspec

from agent.inputs.lines import At, Cut, cut

_MARK = "modeltail.mark"
_CONTINUATION = bytes(range(0x80, 0xC0))
_NOT_OF_FOUR = bytes(range(0xF0)) + bytes(range(0xF8, 0x100))
_PROBE = b"\\u0041~{AB~}\x1b$B!!\xc3\xa9" + bytes(range(256))
"""Every byte, and what encodings of other widths read as fewer characters."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end  # becomes the byte 0xff, which no UTF-8 has


codecs.register_error(_MARK, _mark)


class Encoding(msgspec.Struct, frozen=True):
    """How a file's text is written. ``codec`` is Python's name; ``unit`` the bytes of its smallest character;
    ``marks`` the byte order marks it may begin with."""

    codec: str = "utf-8"
    unit: int = 1
    newline: bytes = b"\n"
    marks: tuple[bytes, ...] = (codecs.BOM_UTF8,)

    @property
    def is_utf8(self) -> bool:
        """Whether lines are passed on as they are."""
        return self.codec == "utf-8"

    def of_file(self, head: bytes) -> "Encoding":
        """The encoding of the file that begins with ``head``: a byte order mark decides where the setting does not."""
        if self.codec != "utf-16":
            return self
        return _UTF_16_BE if head.startswith(codecs.BOM_UTF16_BE) else _UTF_16_LE

    def hole(self, data: bytes) -> int:
        """How many bytes at the beginning of ``data`` are NULs without meaning."""
        nuls = len(data) - len(data.lstrip(b"\0"))
        return nuls - nuls % self.unit

    def mark(self, data: bytes, begin: int) -> int:
        """How long the byte order mark at ``begin`` in ``data`` is; 0 if there is none."""
        return next((len(mark) for mark in self.marks if data.startswith(mark, begin)), 0)

    def behind_newline(self, data: bytes, begin: int) -> int:
        """Where in ``data``, which lies in the file at ``begin``, the last line begins; 0 if no line ends in it."""
        found = data.rfind(self.newline)
        while found >= 0 and (begin + found) % self.unit:
            found = data.rfind(self.newline, 0, found + len(self.newline) - 1)
        return found + len(self.newline) if found >= 0 else 0

    def cut(self, data: bytes, begin: int, at: At, max_line: int, *, ended: bool = False) -> list[Cut]:
        """As ``lines.cut``, with lines in UTF-8 and ``max_line`` in bytes of those. An unfinished character is left
        for later; with ``ended`` it is taken for one that cannot be decoded, and its other half, if that comes after
        all, is skipped."""
        if self.is_utf8:
            return cut(data, begin, at, max_line, ended=ended)
        first = begin % self.unit if data else 0
        last = len(data) if ended else len(data) - self._unfinished(data, begin)
        text = data[first:last].decode(self.codec, _MARK).encode("utf-8", "surrogateescape")
        cuts = cut(text, 0, at, max_line, ended=ended)
        if first and not cuts:
            return [Cut([], [], begin, begin + first, at)]
        self._place(cuts, text, begin + first, begin + last)
        if cuts:
            cuts[0].begin = begin
        return cuts

    def _unfinished(self, data: bytes, begin: int) -> int:
        """How many bytes at the end of ``data`` are the beginning of a character."""
        if self.unit == 1:
            return 0
        odd = (begin + len(data)) % 2
        last = int.from_bytes(data[-2 - odd : len(data) - odd], "big" if self.codec == "utf-16-be" else "little")
        return odd + (2 if len(data) >= 2 + odd and 0xD800 <= last < 0xDC00 else 0)

    def _place(self, cuts: list[Cut], text: bytes, begin: int, end: int) -> None:
        """Turn positions in ``text`` into those in the file, where it lies from ``begin`` to ``end``."""
        wanted = sorted({place for piece in cuts for place in (piece.begin, *piece.starts, piece.end)})
        placed, before, here = {}, 0, begin
        for place in wanted:
            here += self._width(text[before:place])
            before = place
            placed[place] = min(here, end)
        for piece in cuts:
            piece.begin, piece.end = placed[piece.begin], placed[piece.end]
            piece.starts = [placed[start] for start in piece.starts]

    def _width(self, text: bytes) -> int:
        """How many bytes of the file became this text."""
        if text.isascii():
            return len(text) * self.unit
        return (len(text.translate(None, _CONTINUATION)) + len(text.translate(None, _NOT_OF_FOUR))) * self.unit


_UTF_16_LE = Encoding("utf-16-le", 2, b"\n\0", (codecs.BOM_UTF16_LE,))
_UTF_16_BE = Encoding("utf-16-be", 2, b"\0\n", (codecs.BOM_UTF16_BE,))
_UTF_16 = Encoding("utf-16", 2, b"\n\0", ())


def encoding_named(name: str) -> Encoding:
    """The encoding of this name, in any of Python's spellings. Raises ``ValueError`` if it is unknown or not one of
    the supported."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise ValueError("not known; `utf-8`, `utf-16`, `latin-1` and `cp1252` are, for example") from None
    for known in (Encoding(), _UTF_16, _UTF_16_LE, _UTF_16_BE):
        if codec in (known.codec, f"{known.codec}-sig"):
            return known
    try:
        single = len(_PROBE.decode(codec, "replace")) == len(_PROBE)
        newline = "\n".encode(codec)
    except (LookupError, UnicodeError, TypeError):
        single, newline = False, b""
    if not single or len(newline) != 1:
        raise ValueError("not supported; UTF-8, UTF-16 and encodings with one byte for each character are")
    return Encoding(codec, 1, newline, ())
