"""From a body to lines: plain lines, a JSON object per line, an array of objects, one object.

Lines come in cuts within the limits of a batch, and no more of a body is taken apart at a time than goes into one. What
should be a JSON object and is none is refused, by number; ``NaN``, control characters in strings and the like, which
the normaliser reads, are no reason. Values keep the text they were written with.

To look whether a line is an object is a good part of reading it. Where that is allowed, the lines of a large body
are left ``Unchecked``: the normaliser, who finds out anyway, refuses what is none.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from agent.inputs.http.answers import Refused
from agent.inputs.http.dialect import Unchecked
from agent.inputs.http.gather import LARGE_BYTES
from agent.inputs.http.media import Media, media_by_beginning
from agent.inputs.lines import BLOCK_BYTES, MAX_BATCH_BYTES, At, Cut, cut
from agent.processors.normalise.tolerant import MARKS, reason, walk
from agent.record import MAX_BATCH_RECORDS
from agent.values import on_one_line, quote

MAX_ELEMENTS: Final = 1_000_000
"""Up to so many commas an array is taken apart at once; a longer one element by element, which takes longer but no more
memory than one element."""
_BOM: Final = b"\xef\xbb\xbf"
_SPACE: Final = re.compile(r"[ \t\r\n]*+")


class _Object(msgspec.Struct, gc=False):
    """Any JSON object, none of it looked at."""


_check: Final[Callable[[bytes], object]] = msgspec.json.Decoder(_Object).decode
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_slicer: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def cuts_of(body: bytes, media: Media, max_line: int, refused: Refused, *, check: bool = True) -> Iterator[Cut]:
    """The lines of a body; what is not taken is added to ``refused`` on the way. Without ``check`` the cuts of a large
    body may be ``Unchecked``."""
    body = body.removeprefix(_BOM)
    if media is Media.UNKNOWN:
        media = media_by_beginning(body)
    if media is Media.TEXT:
        return _split(body, max_line)
    check = check or len(body) < LARGE_BYTES
    if media is Media.LINES:
        return _objects_by_line(body, max_line, refused, check)
    return _json(body, max_line, refused, check)


def gathered(lines: Iterable[bytes]) -> Iterator[Cut]:
    """Lines that come one by one, in cuts within the limits of a batch."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and (len(held) == MAX_BATCH_RECORDS or size + len(line) > MAX_BATCH_BYTES):
            yield Cut(held, [], 0, size)
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield Cut(held, [], 0, size)


def _blocks(body: bytes) -> int:
    """In how many parts a body is taken apart: what may be one batch is one, and so whole in the queue or not."""
    return math.ceil(len(body) / BLOCK_BYTES) if len(body) > MAX_BATCH_BYTES else 1


def _split(body: bytes, max_line: int) -> Iterator[Cut]:
    """As a file's lines, about a block at a time, and as much each time."""
    blocks = _blocks(body)
    start = 0
    while start < len(body):
        at_least = math.ceil((len(body) - start) / blocks)
        end = body.find(b"\n", start + at_least - 1) + 1 or len(body)
        piece = body[start:end]
        cuts = cut(piece if piece.endswith(b"\n") else piece + b"\n", start, At.LINE, max_line)
        cuts[-1].end = end
        yield from cuts
        start, blocks = end, max(blocks - 1, 1)


def _objects_by_line(body: bytes, max_line: int, refused: Refused, check: bool) -> Iterator[Cut]:
    number = 1
    for made in _split(body, max_line):
        if made.truncated:
            refused.add(number, _too_long(max_line))
        elif not check:
            yield Unchecked(made.lines, made.starts, made.begin, made.end, first=number)
        else:
            made.lines = _objects_among(made.lines, number, refused)
            if made.lines:
                yield made
        number += len(made.starts)


def _objects_among(lines: list[bytes], number: int, refused: Refused) -> list[bytes]:
    """The lines that are objects, or blank. The usual case is one pass without a Python step per line."""
    checked: list[object] = []
    bad: set[int] = set()
    remaining = iter(lines)
    while True:
        try:
            # On an error what was checked before it stays in the list, so its length says which line it was.
            checked.extend(map(_check, remaining))
            break
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            at = len(checked)
            checked.append(None)
            if lines[at].strip() and not _is_tolerable(lines[at]):
                bad.add(at)
                refused.add(number + at, reason(error))
    return [line for at, line in enumerate(lines) if at not in bad] if bad else lines


def _is_tolerable(line: bytes) -> bool:
    """Whether the normaliser reads an object here all the same."""
    try:
        walk(line.decode(errors="replace").lstrip(MARKS))
    except (ValueError, RecursionError):
        return False
    return True


def _tolerated(text: bytes) -> bytes | None:
    """An object that only a tolerant reader takes, on one line; None if it is none."""
    try:
        members = walk(text.decode(errors="replace").strip("\ufeff\x00 \t\r\n")).members
    except (ValueError, RecursionError):
        return None
    return b"{%b}" % b",".join(b"%b:%b" % (quote(key), value) for key, value in members.items())


def _json(body: bytes, max_line: int, refused: Refused, check: bool) -> Iterator[Cut]:
    """One object, an array of objects, or objects by line."""
    body = body.strip()
    if body.startswith(b"["):
        return _objects_of_array(body, max_line, refused)
    if b"\n" not in body:
        return _objects_by_line(body, max_line, refused, check)
    try:
        _check(body)
        return gathered(fitting([(1, on_one_line(body))], max_line, refused))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if not _is_object(body[: body.index(b"\n")]) and (whole := _tolerated(body)) is not None:
            return gathered(fitting([(1, whole.replace(b"\n", b" "))], max_line, refused))
    return _objects_by_line(body, max_line, refused, check)


def _is_object(text: bytes) -> bool:
    try:
        _check(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _is_tolerable(text)
    return True


def fitting(lines: Iterable[tuple[int, bytes]], max_line: int, refused: Refused) -> Iterator[bytes]:
    """A JSON text cannot be cut short and stay one."""
    for number, line in lines:
        if len(line) > max_line:
            refused.add(number, _too_long(max_line))
        else:
            yield line


def _objects_of_array(body: bytes, max_line: int, refused: Refused) -> Iterator[Cut]:
    """The elements that are objects, each on one line; of a large body about a block at a time."""
    if body.count(b",") <= MAX_ELEMENTS:
        try:
            elements = _elements(on_one_line(body) if b"\n" in body else body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            step = math.ceil(len(elements) / _blocks(body))
            for first in range(0, len(elements), max(1, step)):
                yield from _cuts_of_elements(elements[first : first + step], first + 1, max_line, refused)
            return
    numbered = _elements_one_by_one(body.decode(errors="replace"), refused)
    yield from gathered(fitting(numbered, max_line, refused))


def _cuts_of_elements(elements: list[msgspec.Raw], number: int, max_line: int, refused: Refused) -> Iterator[Cut]:
    lines = list(map(bytes, elements))
    size = sum(map(len, lines))
    is_usual = {line[:1] for line in lines} == {b"{"} and len(max(lines, key=len)) <= max_line
    if is_usual and size <= MAX_BATCH_BYTES and len(lines) <= MAX_BATCH_RECORDS:
        yield Cut(lines, [], 0, size)
        return
    objects = []
    for at, line in enumerate(lines, start=number):
        if line.startswith(b"{"):
            objects.append((at, line))
        else:
            refused.add(at, "Expected `object`")
    yield from gathered(fitting(objects, max_line, refused))


def _elements_one_by_one(text: str, refused: Refused) -> Iterator[tuple[int, bytes]]:
    """As far as the array can be followed: behind a syntax error nobody knows where the next element begins."""
    number = 0
    at = _skip(text, 1)
    while not (number == 0 and text.startswith("]", at)):
        number += 1
        try:
            _, end = _slicer.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            refused.add(number, f"{reason(error)}; nothing behind it was read")
            return
        element = text[at:end]
        at = _skip(text, end)
        if not element.startswith("{"):
            refused.add(number, "Expected `object`")
        else:
            line = element.encode(errors="replace")
            yield number, on_one_line(line) if "\n" in element else line
        if text.startswith("]", at):
            break
        if not text.startswith(",", at):
            refused.add(number + 1, "expected a comma or the end of the array; nothing behind it was read")
            return
        at = _skip(text, at + 1)
    if _skip(text, at + 1) < len(text):
        refused.add(number + 1, "something stands behind the array")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _too_long(max_line: int) -> str:
    return f"longer than {max_line} bytes (max_line)"
