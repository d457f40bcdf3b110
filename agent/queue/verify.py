"""Every byte of a queue looked at, and what is wrong with it named. Blocking; writes nothing; memory does not depend on
the queue's size.

Beside a running agent the order matters: a cursor read before the segments cannot be ahead of them, and one read after
their names cannot be behind the oldest.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.form import documents, parts_with_id
from agent.queue.cursor import PREFIX, Cursor
from agent.queue.disk import Disk
from agent.queue.frame import Damaged, Stored, ids_of, inflate
from agent.queue.lock import in_use
from agent.queue.walk import (
    Contradiction,
    Damage,
    Entered,
    Good,
    Missing,
    Piece,
    Unfinished,
    Walk,
    is_being_made,
    read_cursors,
)  # fmt: skip
from agent.queue.wording import counted, plain

Finding = Damage | Unfinished | Missing | Contradiction


class Verified(msgspec.Struct):
    """What was looked at, and how much is wrong. ``bytes`` are those of the segments; ``missing`` counts records;
    ``damaged`` and ``contradictions`` count places. Unfinished writes are no fault: nothing in them was accepted."""

    segments: int = 0
    bytes: int = 0
    frames: int = 0
    records: int = 0
    cursors: int = 0
    damaged: int = 0
    damaged_bytes: int = 0
    missing: int = 0
    contradictions: int = 0
    unfinished_bytes: int = 0

    @property
    def is_good(self) -> bool:
        """Whether every record that should be here is, and everything agrees."""
        return not (self.damaged or self.missing or self.contradictions)


def verify(disk: Disk, folder: Path, tell: Callable[[Finding], None], entered: Callable[[Entered], None]) -> Verified:
    """Look at everything. ``tell`` gets each finding as it is met, ``entered`` each segment. Raises ``OSError`` when
    the folder cannot be listed."""
    verified = Verified()
    busy = in_use(folder) is not False
    before = read_cursors(disk, folder)
    claims = _Claims({output: cursor for output, cursor in before.items() if cursor is not None})
    walk = Walk(disk, folder)
    begin: int | None = None
    for piece in _pieces(walk, claims):
        match piece:
            case Entered():
                verified.segments += 1
                verified.bytes += piece.size
                if begin is None and piece.header is not None and piece.name == walk.names[0]:
                    begin = piece.header.total
                entered(piece)
            case Good():
                verified.frames += 1
                verified.records += 0 if piece.repeat else piece.stored.frame.count
            case _:
                _count(verified, piece)
                tell(piece)
    after = read_cursors(disk, folder)
    busy = busy or in_use(folder) is not False
    for finding in _cursor_findings(before, after, walk, begin):
        if busy and isinstance(finding, Damage) and is_being_made(disk, folder / finding.file):
            continue
        _count(verified, finding)
        tell(finding)
    verified.cursors = len(before)
    return verified


def text_of(finding: Finding) -> str:
    """The finding as a sentence."""
    match finding:
        case Damage():
            if not finding.size:
                return f"DAMAGED  {finding.file}: {finding.reason}"
            where = f"{finding.file} at byte {finding.offset:,}"
            return f"DAMAGED  {where}: {finding.reason} ({counted(finding.size, 'byte')})"
        case Missing():
            which = (
                f"frame {finding.first:,}"
                if finding.first == finding.last
                else (f"frames {finding.first:,} to {finding.last:,}")
            )
            where = f"byte {finding.offset:,} of {finding.file}" if finding.offset else finding.file
            return f"MISSING  {counted(finding.records, 'record')} ({which}) before {where}"
        case Contradiction():
            where = f" at byte {finding.offset:,}" if finding.offset else ""
            return f"WRONG    {finding.file}{where}: {finding.text}"
        case Unfinished():
            return (
                f"note     {finding.file} at byte {finding.offset:,}: a write under way, or one that never finished "
                f"({counted(finding.size, 'byte')}); nothing accepted is in it"
            )


class _Claims:
    """What the cursors say of the queue's totals at certain frames, to be compared when the walk comes by."""

    def __init__(self, cursors: dict[str, Cursor]) -> None:
        self._by_seq: dict[int, list[tuple[str, int]]] = {}
        for output, cursor in cursors.items():
            for seq, total in ((cursor.low, cursor.low_total), *((r.last, r.total) for r in cursor.done)):
                self._by_seq.setdefault(seq, []).append((output, total))

    def contradictions(self, stored: Stored) -> Iterator[Contradiction]:
        """The cursors that say something else of the total behind this frame."""
        frame = stored.frame
        for output, total in self._by_seq.get(frame.seq, ()):
            if total != frame.total + frame.count:
                text = f"it says {total} records lie up to frame {frame.seq}, but it is {frame.total + frame.count}"
                yield Contradiction(plain(PREFIX + output), 0, text)


def _pieces(walk: Walk, claims: _Claims) -> Iterator[Piece]:
    """The walk, and what is wrong inside its frames."""
    for piece in walk:
        yield piece
        if isinstance(piece, Good):
            yield from _inside(piece)
            if not piece.repeat:
                yield from claims.contradictions(piece.stored)


def _inside(good: Good) -> Iterator[Contradiction]:
    """What is wrong with a frame whose checksum holds: it was written wrongly."""
    frame = good.stored.frame
    try:
        text = inflate(frame, good.stored.body)
        named, found = parts_with_id(frame.form, text), documents(frame.form, text)
    except (Damaged, ValueError) as damage:
        yield Contradiction(good.name.text, frame.offset, str(damage))
        return
    ids = ids_of(frame)
    if not len(ids) == len(named) == len(found) == frame.count:
        said = f"{frame.count} records are said to be in it, but there are {len(found)} documents and {len(ids)} ids"
        yield Contradiction(good.name.text, frame.offset, said)
    elif any(record.encode() not in part for record, part in zip(ids, named, strict=True)):
        yield Contradiction(good.name.text, frame.offset, "its documents do not have the ids it says")


def _cursor_findings(
    before: dict[str, Cursor | None], after: dict[str, Cursor | None], walk: Walk, begin: int | None
) -> Iterator[Finding]:
    ahead = farthest = 0
    for output, cursor in before.items():
        if cursor is None:
            if output in after and after[output] is None:
                yield Damage(plain(PREFIX + output), 0, 0, "neither of its two slots is readable")
            continue
        if not cursor.balances:
            text = f"it counts {cursor.passed} records, but its position says otherwise"
            yield Contradiction(plain(PREFIX + output), 0, text)
        last = cursor.done[-1] if cursor.done else None
        farthest = max(farthest, last.last if last else cursor.low)
        ahead = max(ahead, (last.total if last else cursor.low_total) - walk.total)
    if ahead > 0 and walk.in_sequence:
        yield Missing("the end of the queue", 0, walk.seq, max(walk.seq, farthest), ahead)
    elif farthest and not walk.names:
        yield Contradiction("the folder", 0, f"no segment is here, though an output is through with frame {farthest}")
    for output, cursor in after.items():
        if cursor is not None and begin is not None and cursor.low_total < begin:
            text = f"it is {begin - cursor.low_total} records behind the oldest segment, which are not there any more"
            yield Contradiction(plain(PREFIX + output), 0, text)


def _count(verified: Verified, finding: Finding) -> None:
    match finding:
        case Damage():
            verified.damaged += 1
            verified.damaged_bytes += finding.size
        case Missing():
            verified.missing += finding.records
        case Contradiction():
            verified.contradictions += 1
        case Unfinished():
            verified.unfinished_bytes += finding.size
