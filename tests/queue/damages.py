"""Everything that is known to happen to a queue's files, done to one small queue, and what came of it.

The queue has three segments, each the work of one process: batches 1 to 3, 4 to 6, 7 to 9, three records each, one
frame each, and the empty frame of a process that ended in peace. Its output ``out`` was through with the first two
batches, or, where a case says so, with all of them. Then the damage is done, the queue is opened by a fourth process,
which appends batch 10 and reads until nothing is left.
"""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.ledger import make_ledger, read_ledger
from agent.queue.config import QueueConfig
from agent.queue.cursor import SLOT_BYTES, Cursor, Range, decode_slot, encode_cursor, encode_slot
from agent.queue.damage import FOLDER
from agent.queue.disk import RealDisk
from agent.queue.frame import HEAD, Stored, documents_in
from agent.queue.queue import Queue, open_queue
from agent.queue.segment import MAGIC, Name, read_header, scan
from agent.queue.state import UNKNOWN
from agent.queue.subscription import Subscription
from tests.queue.entries import RUN, entry_in_turn

BATCHES, RECORDS, LAST = range(1, 10), 3, 10
CURSOR = "cursor-out"


class Damage(msgspec.Struct, frozen=True):
    """What is done to the folder, and how many batches the output was through with before."""

    name: str
    do: Callable[[Path], object]
    delivered: int = 2


class Outcome(msgspec.Struct):
    """What came of it. ``came`` are the batches the output got, in order, but for the last one; ``position`` the batch
    behind which the input would go on; ``fates`` what the output's count says of records it did not get; ``missing``
    the records of the input ``?``; ``aside`` the files in the folder for damage; ``said`` the log from WARNING up."""

    came: list[int]
    repeated: list[int]
    position: int
    fates: dict[str, int]
    damaged_bytes: int
    missing: int
    aside: list[str]
    said: list[str]
    balances: bool


def outcome_of(damage: Damage) -> Outcome:
    """Make the queue, damage it, open it, read it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "queue"
        make_queue(folder, damage.delivered)
        damage.do(folder)
        return asyncio.run(_use(folder, damage.delivered))


def make_queue(folder: Path, delivered: int = 2) -> None:
    """The queue of the module's docstring."""
    asyncio.run(_make(folder, delivered))


def segments(folder: Path) -> list[Path]:
    """The segment files, oldest first."""
    return sorted(folder.glob("*.seg"))


def frames_of(path: Path) -> list[tuple[int, int]]:
    """Offset and end of each frame of a whole segment."""
    disk = RealDisk()
    handle = disk.open(path)
    try:
        header, first = read_header(disk, handle)
        return [(f.offset, f.end) for f, _ in scan(disk, handle, header.mark, first, disk.size(handle))]
    finally:
        disk.close(handle)


def finish(subscription: Subscription, stored: list[Stored]) -> list[str]:
    """Finish the frames as delivered; the record ids that the documents themselves have."""
    found = []
    for s in stored:
        frame = s.frame
        found += [line.split(b'"')[3].decode() for line in documents_in(frame, s.body)]
        done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
        subscription.finish(done, {"delivered": frame.count})
    return found


def _config(folder: Path) -> QueueConfig:
    return QueueConfig(path=folder, min_free=0, sync_interval=0.001)


async def _make(folder: Path, delivered: int) -> None:
    for life in range(3):
        async with open_queue(_config(folder), RUN) as queue:
            subscription = queue.subscribe("out", from_oldest=False)
            for batch in BATCHES[life * 3 : life * 3 + 3]:
                await queue.append(entry_in_turn(batch, RECORDS, position=batch), "block")
                await queue.sync()
                if batch <= delivered:
                    finish(subscription, await subscription.read(1))


async def _use(folder: Path, delivered: int) -> Outcome:
    with _heard() as said:
        async with asyncio.timeout(20), open_queue(_config(folder), RUN) as queue:
            subscription = queue.subscribe("out", from_oldest=False)
            position = int(queue.positions("in").get("s", b"0"))
            await queue.append(entry_in_turn(LAST, RECORDS, position=LAST), "block")
            records = await _read_all(queue, subscription)
            live = make_ledger(queue.counts, queue.total, queue.cursors)
    assert [r for r in records if int(r.split("-")[1], 16) == LAST] == records[-RECORDS:]
    kept = read_ledger(folder)
    came = _batches(records[:-RECORDS])
    fates = dict(kept.outputs["out"].fates)
    fates.pop("delivered", None)
    aside = folder / FOLDER
    return Outcome(
        came=came,
        repeated=[batch for batch in came if batch <= delivered],
        position=position,
        fates=fates,
        damaged_bytes=kept.outputs["out"].noted.get("damaged_bytes", 0),
        missing=kept.inputs[UNKNOWN].accepted if UNKNOWN in kept.inputs else 0,
        aside=sorted(path.name for path in aside.iterdir()) if aside.is_dir() else [],
        said=list(dict.fromkeys(said)),
        balances=live.balances and kept.balances and kept.outputs["out"].queued == 0,
    )


async def _read_all(queue: Queue, subscription: Subscription) -> list[str]:
    found: list[str] = []
    while subscription.queued:
        changed = queue.visible_changed
        if stored := await subscription.read_now(10**6):
            found += finish(subscription, stored)
        elif subscription.queued:
            await changed.wait()
    return found


def _batches(records: list[str]) -> list[int]:
    """The batches of these records, each of which must be there whole."""
    found = []
    for i in range(0, len(records), RECORDS):
        batch = {int(record.split("-")[1], 16) for record in records[i : i + RECORDS]}
        assert len(batch) == 1
        assert len(set(records[i : i + RECORDS])) == RECORDS
        found.append(batch.pop())
    return found


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the queue's log says meanwhile, from WARNING up."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ear = logging.getLogger("modeltail.queue"), Ear(logging.WARNING)
    logger.addHandler(ear)
    try:
        yield said
    finally:
        logger.removeHandler(ear)


# What can be done to a file. Each returns what does it to a folder.

Do = Callable[[Path], object]


def _segment(index: int, change: Callable[[Path], object]) -> Do:
    return lambda folder: change(segments(folder)[index])


def _cursor(change: Callable[[Path], object]) -> Do:
    return lambda folder: change(folder / CURSOR)


def _cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def _cut_in_frame(frame: int) -> Callable[[Path], object]:
    return lambda path: _cut(path, frames_of(path)[frame][1] - 5)


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def _flip_in_frame(frame: int, offset: int) -> Callable[[Path], object]:
    """Flip a bit, ``offset`` bytes behind the beginning of the frame, or before its end."""
    return lambda path: _flip(path, frames_of(path)[frame][0 if offset >= 0 else 1] + offset)


def _killed_and_flipped(path: Path) -> None:
    """The process did not end in peace, so nothing is behind the last frame, and a bit of that is flipped."""
    _cut(path, frames_of(path)[3][0])
    _flip(path, path.stat().st_size - 3)


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage\n" * (path.stat().st_size // 8))


def _rename(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda path: path.rename(path.parent / change(path.name))


def _newer_version(path: Path) -> None:
    """The header as a later version would write it: a number and a checksum that holds."""
    import zlib

    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[12:16], "little")
    data[8] += 1
    data[16:20] = zlib.crc32(data[20 : 20 + length], zlib.crc32(data[8:16])).to_bytes(4, "little")
    path.write_bytes(data)


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _unreadable(path: Path) -> None:
    """Nobody can open a link to itself, not even root."""
    path.unlink()
    path.symlink_to(path)


def _newer_slot(path: Path) -> None:
    data = path.read_bytes()
    slots = [decode_slot(data[:SLOT_BYTES]), decode_slot(data[SLOT_BYTES:])]
    newer = max((slot[1], i) for i, slot in enumerate(slots) if slot is not None)[1]
    _flip(path, newer * SLOT_BYTES + 40)


def _leave(name: str, content: bytes = b"") -> Do:
    return lambda folder: (folder / name).write_bytes(content)


def _old_cursor(folder: Path) -> None:
    """A backup of the cursor, from behind the second batch, is put back when the oldest segment is deleted."""
    assert len(segments(folder)) == 2
    old = Cursor(low=2, low_total=2 * RECORDS, counts={"delivered": 2 * RECORDS})
    (folder / CURSOR).write_bytes(encode_slot(encode_cursor(old), 1))


def _lose_all(folder: Path) -> None:
    for path in segments(folder):
        path.unlink()


def _lose_everything(folder: Path) -> None:
    shutil.rmtree(folder)


_LEFTOVER = Name(13, 0, bytes(range(8))).text
"""What a power cut leaves of a segment just begun."""

_OLDEST, _MIDDLE, _NEWEST = 0, 1, -1

DAMAGES = [
    Damage("nothing", lambda folder: None),
    Damage("the last frame is torn", _segment(_NEWEST, _cut_in_frame(2))),
    Damage("a flipped bit in the last frame", _segment(_NEWEST, _flip_in_frame(2, -3))),
    Damage("… that was delivered already", _segment(_NEWEST, _flip_in_frame(2, -3)), delivered=9),
    Damage("a flipped bit in the last frame, after a kill", _segment(_NEWEST, _killed_and_flipped)),
    Damage("… that was delivered already, after a kill", _segment(_NEWEST, _killed_and_flipped), delivered=9),
    Damage("a flipped bit in a frame: its mark", _segment(_MIDDLE, _flip_in_frame(1, 3))),
    Damage("… its checksum", _segment(_MIDDLE, _flip_in_frame(1, 9))),
    Damage("… its length", _segment(_MIDDLE, _flip_in_frame(1, 16))),
    Damage("… its sequence number", _segment(_MIDDLE, _flip_in_frame(1, 20))),
    Damage("… its positions and counts", _segment(_MIDDLE, _flip_in_frame(1, HEAD.size + 20))),
    Damage("… its documents", _segment(_MIDDLE, _flip_in_frame(1, -3))),
    Damage("a flipped bit in the newest segment, not at its end", _segment(_NEWEST, _flip_in_frame(1, -3))),
    Damage("a flipped bit in a segment's header", _segment(_MIDDLE, lambda path: _flip(path, 40))),
    Damage("… the newest one's", _segment(_NEWEST, lambda path: _flip(path, 40))),
    Damage("… its magic", _segment(_NEWEST, lambda path: _flip(path, len(MAGIC) - 2))),
    Damage("… its version", _segment(_NEWEST, lambda path: _flip(path, 8))),
    Damage("an older segment is cut off", _segment(_MIDDLE, _cut_in_frame(1))),
    Damage("an older segment is empty", _segment(_MIDDLE, _empty)),
    Damage("an older segment is zeros", _segment(_MIDDLE, _zero)),
    Damage("an older segment is garbage", _segment(_MIDDLE, _garbage)),
    Damage("the newest segment is empty", _segment(_NEWEST, _empty)),
    Damage("the newest segment is zeros", _segment(_NEWEST, _zero)),
    Damage("the newest segment is zeros, and was delivered", _segment(_NEWEST, _zero), delivered=9),
    Damage("the oldest segment is gone", _segment(_OLDEST, Path.unlink)),
    Damage("a segment in the middle is gone", _segment(_MIDDLE, Path.unlink)),
    Damage("the newest segment is gone", _segment(_NEWEST, Path.unlink)),
    Damage("the newest segment is gone, and was delivered", _segment(_NEWEST, Path.unlink), delivered=9),
    Damage("every segment is gone", _lose_all),
    Damage("the whole folder is gone", _lose_everything),
    Damage("a segment's name is damaged: its base", _segment(_MIDDLE, _rename(lambda name: "1" + name[1:]))),
    Damage("… its mark", _segment(_NEWEST, _rename(lambda name: name[:22] + "0123456789abcdef.seg"))),
    Damage("… its ending", _segment(_MIDDLE, _rename(lambda name: name[:-1] + "\x07"))),
    Damage("a segment of a newer version", _segment(_MIDDLE, _newer_version)),
    Damage("… the newest one", _segment(_NEWEST, _newer_version)),
    Damage("a folder where a segment should be", _segment(_MIDDLE, _folder_instead)),
    Damage("a segment that cannot be opened", _segment(_MIDDLE, _unreadable)),
    Damage("a leftover of a segment just begun: empty", _leave(_LEFTOVER)),
    Damage("… zeros", _leave(_LEFTOVER, bytes(4096))),
    Damage("… half a header", _leave(_LEFTOVER, MAGIC + b"\x01\0\0\0\xff")),
    Damage("leftover temporary files", _leave("tmp1234", b"left")),
    Damage("the cursor's file is gone", _cursor(Path.unlink)),
    Damage("… when all is delivered", _cursor(Path.unlink), delivered=9),
    Damage("the cursor's file is empty", _cursor(_empty)),
    Damage("the cursor's file is zeros", _cursor(_zero)),
    Damage("the cursor's file is garbage", _cursor(_garbage)),
    Damage("the cursor's file is cut to one slot", _cursor(lambda path: _cut(path, SLOT_BYTES))),
    Damage("the cursor's newer slot is damaged", _cursor(_newer_slot)),
    Damage("a folder where the cursor should be", _cursor(_folder_instead)),
    Damage("an old cursor is put back, its segments are deleted", _old_cursor, delivered=9),
]  # fmt: skip
