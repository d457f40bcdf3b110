"""A look at a queue folder for people, whether an agent is using it or not. Writes nothing.

It reads what a start reads: the heads of the segments, the newest one, the cursors; and, for each output, the segment
it has come to.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.queue.cursor import Cursor
from agent.queue.disk import Disk
from agent.queue.lock import in_use
from agent.queue.recovery import Found, recover
from agent.queue.repair import ASIDE
from agent.queue.segment import path_of, scan
from agent.queue.wording import counted, plain, readable_age, readable_size


class SegmentLine(msgspec.Struct):
    """One segment. ``begun_at_ms`` is since 1970, 0 when not known; ``damage`` is what is wrong with its header."""

    name: str
    bytes: int
    begun_at_ms: int
    damage: str | None


class OutputLine(msgspec.Struct):
    """One output; only ``readable`` says anything when its cursor is not. ``queued`` records, which take
    ``lag_bytes`` on disk, are yet to be finished."""

    readable: bool
    queued: int = 0
    lag_bytes: int = 0
    through_with: int = 0


class Summary(msgspec.Struct):
    """``in_use`` says whether an agent holds the lock now, None when that cannot be told. ``records`` were put into the
    queue over its life. ``oldest_queued_ms`` is when the segment with the oldest queued record was begun; None when
    nothing is queued, 0 when it is not known."""

    folder: str
    in_use: bool | None
    bytes: int
    max_bytes: int | None
    records: int
    sources: int
    segments: list[SegmentLine]
    oldest_queued_ms: int | None
    outputs: dict[str, OutputLine]
    damaged_files: int
    damaged_bytes: int
    dead_letters: dict[str, int]


def summary(disk: Disk, folder: Path, max_bytes: int | None, dead_letters: dict[str, int]) -> Summary:
    """Look. Raises ``OSError`` when the folder cannot be listed."""
    recovered = recover(disk, folder)
    segments, state = recovered.segments, recovered.state
    outputs = {name: OutputLine(readable=False) for name in recovered.unreadable_cursors}
    oldest: int | None = None
    for name, (cursor, _) in recovered.cursors.items():
        queued = cursor.behind(state.total)
        outputs[name] = OutputLine(True, queued, 0, cursor.passed)
        here = _segment_of(cursor, segments)
        if queued and here is not None:
            outputs[name].lag_bytes = _lag_bytes(disk, folder, cursor, segments, here)
            oldest = here if oldest is None else min(oldest, here)
    aside = [path.stat().st_size for path in _files(folder / ASIDE)]
    begun = [found.header.made_at_ms if found.header is not None else 0 for found in segments]
    return Summary(
        folder=str(folder),
        in_use=in_use(folder),
        bytes=sum(found.size for found in segments),
        max_bytes=max_bytes,
        records=state.total,
        sources=len(state.origins),
        segments=[SegmentLine(f.name.text, f.size, at, f.damage) for f, at in zip(segments, begun, strict=True)],
        oldest_queued_ms=None if oldest is None else begun[oldest],
        outputs=dict(sorted(outputs.items())),
        damaged_files=len(aside),
        damaged_bytes=sum(aside),
        dead_letters=dead_letters,
    )


def in_a_sentence(disk: Disk, folder: Path) -> str | None:
    """Whether there is a queue, whether it can be read, and what waits in it; None when there is none yet."""
    if not folder.is_dir():
        return None
    try:
        recovered = recover(disk, folder)
    except OSError as error:
        return f"The queue in {folder} cannot be read from here: {error.strerror}."
    waiting = {name: cursor.behind(recovered.state.total) for name, (cursor, _) in sorted(recovered.cursors.items())}
    waiting = {name: n for name, n in waiting.items() if n}
    sentence = ", ".join(f"{counted(n, 'record')} for {plain(name)}" for name, n in waiting.items()) or "nothing"
    trouble = len(recovered.unreadable_cursors) + sum(found.damage is not None for found in recovered.segments)
    damage = f"; {counted(trouble, 'file')} damaged, see `modeltail queue verify`" if trouble else ""
    return f"In the queue there wait: {sentence}{damage}."


def summary_text(found: Summary, now_ms: int) -> str:
    """The summary at a glance."""
    use = {True: "in use by a running agent", False: "no agent is using it", None: "whether it is in use is not known"}
    size = f"{readable_size(found.bytes)} in {counted(len(found.segments), 'segment')}"
    if found.max_bytes:
        size += f", {100 * found.bytes / found.max_bytes:.1f} % of {readable_size(found.max_bytes)}"
    lines = [
        f"Queue in {found.folder}: {use[found.in_use]}",
        f"  {size}",
        f"  {counted(found.records, 'record')} in its life; {counted(found.sources, 'source')} of known position",
    ]
    if found.oldest_queued_ms is not None:
        known = found.oldest_queued_ms
        age = f"begun {readable_age(now_ms - known)} ago" if known else "of unknown age"
        lines.append(f"  the oldest queued record is in a segment {age}")
    lines.append("")
    width = max([6, *(len(plain(name)) for name in found.outputs)])
    if found.outputs:
        lines.append(f"  {'OUTPUT':<{width}}  {'QUEUED':>14}  {'LAG':>10}  {'THROUGH WITH':>14}")
    for name, line in found.outputs.items():
        row = f"{line.queued:>14,}  {readable_size(line.lag_bytes):>10}  {line.through_with:>14,}"
        lines.append(f"  {plain(name):<{width}}  {row if line.readable else 'CURSOR NOT READABLE'}")
    if not found.outputs:
        lines.append("  no output has read from it yet")
    notes = [f"segment {s.name}: DAMAGED HEADER: {s.damage}" for s in found.segments if s.damage]
    if found.damaged_files:
        notes.append(
            f"set aside as damaged: {counted(found.damaged_files, 'file')}, {readable_size(found.damaged_bytes)}"
        )
    notes += [f"dead letters of {plain(name)}: {n:,}" for name, n in found.dead_letters.items() if n]
    return "\n".join([*lines, *([""] if notes else []), *(f"  {note}" for note in notes)])


def _segment_of(cursor: Cursor, segments: list[Found]) -> int | None:
    """The place of the segment that holds the first frame the cursor is not through with."""
    before = [i for i, found in enumerate(segments) if found.name.base <= cursor.low + 1]
    return before[-1] if before else (0 if segments else None)


def _lag_bytes(disk: Disk, folder: Path, cursor: Cursor, segments: list[Found], here: int) -> int:
    """Bytes from the first frame the cursor is not through with to the end of the queue, what is finished among them
    included."""
    found = segments[here]
    start = found.size
    try:
        handle = disk.open(path_of(folder, found.name))
        try:
            frames = scan(disk, handle, found.name.mark, found.first, found.size)
            start = next((frame.offset for frame, _ in frames if frame.seq > cursor.low), found.size)
        finally:
            disk.close(handle)
    except OSError:
        pass  # deleted since, or not readable: the rest of the segments tells enough
    return found.size - start + sum(later.size for later in segments[here + 1 :])


def _files(folder: Path) -> Iterator[Path]:
    """The regular files in a folder, if it is there."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_file())
