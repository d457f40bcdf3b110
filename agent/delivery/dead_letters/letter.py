"""One dead letter, to its line and back. Pure."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

_SPARE_DEPTH: Final = 100
"""A document nested so deep that only just can it be read is kept as text: whoever reads it may be deeper in calls."""


class DeadLetter(msgspec.Struct):
    """One refused record: who refused it, when it was first given up (ISO, UTC), its id and data stream, the reason and
    the number of attempts of the last refusal, and the JSON that was refused, byte for byte.

    A document that no JSON decoder of ours reads is a JSON string of its text.
    """

    output: str
    time: str
    id: str
    stream: str
    reason: str
    attempts: int
    document: msgspec.Raw

    @property
    def original(self) -> bytes:
        """The document as it was sent."""
        raw = bytes(self.document)
        return _decode_text(raw).encode() if raw.startswith(b'"') else raw


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(DeadLetter).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_any: Final = msgspec.json.Decoder(msgspec.Raw).decode


def dead_letter(output: str, record: str, stream: str, reason: str, attempts: int, document: bytes) -> DeadLetter:
    """A refused record as of now."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # Reasons quote documents, and a document may hold half a surrogate pair.
    reason = reason.encode("utf-8", "replace").decode()
    return DeadLetter(output, now, record, stream, reason, attempts, _kept(document))


def _kept(document: bytes) -> msgspec.Raw:
    if document.startswith(b"{") and b"\n" not in document:
        try:
            _decode_any(b"[" * _SPARE_DEPTH + document + b"]" * _SPARE_DEPTH)
            return msgspec.Raw(document)
        except (msgspec.DecodeError, RecursionError):
            pass
    return msgspec.Raw(_encode(document.decode("utf-8", "replace")))


def line_of(letter: DeadLetter) -> bytes:
    """The letter as its line, newline included."""
    return _encode(letter) + b"\n"


def letter_of(line: bytes) -> DeadLetter | None:
    """The letter of a line; None when it is torn or damaged."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def letters_in(lines: Iterable[bytes]) -> Iterator[DeadLetter]:
    """The letters of a file, one at a time; an id that comes again, as after a crash, only once."""
    seen: set[int] = set()
    for line in lines:
        letter = letter_of(line)
        if letter is not None and (key := hash(letter.id)) not in seen:
            seen.add(key)
            yield letter
