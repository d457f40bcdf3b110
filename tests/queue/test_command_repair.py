"""`modeltail queue repair` keeps every readable record, whatever moment it is cut short at."""

import asyncio
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.queue.disk import RealDisk
from agent.queue.queue import open_queue
from agent.queue.recovery import recover
from agent.queue.repair import carry_out, plan
from tests.queue.entries import RUN, entry, entry_in_turn
from tests.queue.tool import config, delivered, fill, goods, modeltail, segments, snapshot


def _damage(folder: Path, index: int, offset: int, flips: bytes = b"\x01") -> None:
    path = segments(folder)[index]
    data = bytearray(path.read_bytes())
    for i, flip in enumerate(flips):
        data[(offset + i) % len(data)] ^= flip
    path.write_bytes(data)


def _frame_offset(folder: Path, number: int) -> tuple[int, int]:
    """The index of the segment and the offset of the frame with this number, from 0 on."""
    good = goods(folder)[number]
    return [path.name for path in segments(folder)].index(good.name.text), good.stored.frame.offset


def _damaged_queue(folder: Path) -> None:
    """Three segments: a frame hit in the first, the header of the second, the middle of the third; and an unreadable
    cursor beside a good one."""
    fill(folder, [entry_in_turn(batch, pad=60, source=f"s{batch}") for batch in range(1, 19)], done=1)
    assert len(segments(folder)) >= 3
    _damage(folder, 0, _frame_offset(folder, 1)[1] + 60)
    _damage(folder, 1, 30)
    _damage(folder, 2, segments(folder)[2].stat().st_size // 2)
    (folder / "cursor-lost").write_bytes(b"\x00garbage")


def _reading(folder: Path, into: Path) -> list[tuple[list[str], dict[str, int]]]:
    """What agents on copies of the folder deliver to each output, and what they count."""
    readings = []
    for output in ("out", "lost"):
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(folder, into)
        readings.append(delivered(into, output))
    return readings


def test_repaired_queue_delivers_the_same_and_counts_the_same(tmp_path: Path) -> None:
    """The readable frames and nothing else, and what is missing is counted as it was before."""
    folder = tmp_path / "queue"
    _damaged_queue(folder)
    before = _reading(folder, tmp_path / "copy")
    assert before[0][1]["damaged"] > 0
    ran = modeltail("queue", "repair", "--queue", folder)
    assert (ran.status, ran.err) == (0, "")
    assert _reading(folder, tmp_path / "copy") == before


def test_repair_is_done_once(tmp_path: Path) -> None:
    """The second one finds nothing and changes nothing; verify finds no damage, only what cannot be brought back."""
    _damaged_queue(tmp_path)
    modeltail("queue", "repair", "--queue", tmp_path)
    repaired = snapshot(tmp_path)
    assert modeltail("queue", "repair", "--queue", tmp_path).out == "There is nothing to repair.\n"
    assert snapshot(tmp_path) == repaired
    out = modeltail("queue", "verify", "--queue", tmp_path).out
    assert "DAMAGED" not in out
    assert "WRONG" not in out
    assert "MISSING" in out


def test_whole_queue_is_not_touched(tmp_path: Path) -> None:
    """Nothing is rewritten that is good, and an unfinished write at the end is not in the way."""
    fill(tmp_path)
    path = segments(tmp_path)[-1]
    path.write_bytes(path.read_bytes()[:-5])
    before = snapshot(tmp_path)
    ran = modeltail("queue", "repair", "--queue", tmp_path)
    assert (ran.status, ran.out) == (0, "There is nothing to repair.\n")
    assert snapshot(tmp_path) == before


def test_dry_run_tells_and_changes_nothing(tmp_path: Path) -> None:
    """It names each damage and the number of files, beside a running agent too."""
    _damaged_queue(tmp_path)
    (tmp_path / "repair-x.tmp").write_bytes(b"x")
    before = snapshot(tmp_path)
    ran = modeltail("queue", "repair", "--dry-run", "--queue", tmp_path)
    assert ran.status == 0
    assert ran.out.count("DAMAGED") == 4
    assert "repair-x.tmp: an interrupted repair left it" in ran.out
    assert "5 files to repair; nothing was changed." in ran.out
    assert snapshot(tmp_path) == before


def test_damaged_originals_are_kept(tmp_path: Path) -> None:
    """Every byte that was there before is in the folder `damaged` afterwards, or where it was."""
    _damaged_queue(tmp_path)
    before = snapshot(tmp_path)
    modeltail("queue", "repair", "--queue", tmp_path)
    assert set(before.values()) <= set(snapshot(tmp_path).values())


def test_positions_survive_the_repair_of_any_header(tmp_path: Path) -> None:
    """Inputs resume where they were, also when every header is damaged but the first: frames hold positions too."""
    folder = tmp_path / "queue"
    fill(folder, [entry_in_turn(batch, pad=60, source=f"s{batch}") for batch in range(1, 13)])
    for index in range(1, len(segments(folder))):
        _damage(folder, index, 30)
    before = recover(RealDisk(), folder).state
    assert len(before.origins) == 12
    assert modeltail("queue", "repair", "--queue", folder).status == 0
    after = recover(RealDisk(), folder).state
    assert after.origins == before.origins
    assert after.counts == before.counts
    assert after.total == before.total
    assert all(found.header is not None for found in recover(RealDisk(), folder).segments)


def test_unreadable_cursor_begins_at_the_oldest_record(tmp_path: Path) -> None:
    """Nothing is skipped: what the output had may come again, under the same ids."""
    fill(tmp_path, done=5)
    (tmp_path / "cursor-out").write_bytes(b"garbage")
    ran = modeltail("queue", "repair", "--queue", tmp_path)
    assert "begins again 36 records back" in ran.out
    assert (tmp_path / "damaged" / "cursor-out").read_bytes() == b"garbage"
    assert len(delivered(tmp_path)[0]) == 36


def test_left_over_temporary_files_are_removed(tmp_path: Path) -> None:
    """Those of an interrupted repair; nothing else."""
    fill(tmp_path)
    (tmp_path / "repair-cursor-out.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    modeltail("queue", "repair", "--queue", tmp_path)
    assert not (tmp_path / "repair-cursor-out.tmp").exists()
    assert (tmp_path / "notes.txt").exists()


class Crash(BaseException):
    """The power is gone."""


class Power(RealDisk):
    """A disk whose power fails at the n-th call that changes something. What no sync made durable is gone then: the
    content of files half, new names and renames whole."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self._paths: dict[int, Path] = {}
        self._unsynced: set[Path] = set()
        self._entries: list[tuple[Path | None, Path, set[Path]]] = []

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            for path in self._unsynced:
                if path.exists():
                    content = path.read_bytes()
                    path.write_bytes(content[: len(content) // 2])
            for source, target, _ in reversed(self._entries):
                if source is None:
                    target.unlink(missing_ok=True)
                else:
                    target.rename(source)
            raise Crash

    def create(self, path: Path) -> int:
        """Not durable before its folder is."""
        self._step()
        handle = super().create(path)
        self._paths[handle] = path
        self._unsynced.add(path)
        self._entries.append((None, path, {path.parent}))
        return handle

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Not durable before the file is."""
        self._step()
        return super().write(handle, buffers, offset)

    def sync(self, handle: int) -> None:
        """Makes the content durable."""
        self._step()
        super().sync(handle)
        self._unsynced.discard(self._paths[handle])

    def rename(self, source: Path, target: Path) -> None:
        """Not durable before both folders are. What it replaces must be good enough to be lost."""
        self._step()
        old = target.read_bytes() if target.is_file() else None
        super().rename(source, target)
        if source in self._unsynced:
            self._unsynced.remove(source)
            self._unsynced.add(target)
        if old is None:
            self._entries = [entry for entry in self._entries if entry[1] != source or entry[0] is not None]
            self._entries.append((source, target, {source.parent, target.parent}))

    def sync_folder(self, path: Path) -> None:
        """Makes the names in it durable."""
        self._step()
        super().sync_folder(path)
        for _, _, folders in self._entries:
            folders.discard(path)
        self._entries = [entry for entry in self._entries if entry[2]]

    def unlink(self, path: Path) -> None:
        """Taken as durable at once."""
        self._step()
        super().unlink(path)


def test_repair_may_be_cut_short_at_any_call(tmp_path: Path) -> None:
    """After every single write, sync and rename the queue still delivers the same and counts the same, and the next
    repair completes it."""
    whole = tmp_path / "whole"
    _damaged_queue(whole)
    (whole / "repair-old.tmp").write_bytes(b"half")
    expected = _reading(whole, tmp_path / "copy")
    folder = tmp_path / "queue"
    for calls in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        disk = Power(calls)
        try:
            carry_out(disk, folder, plan(disk, folder), lambda sentence: None)
        except Crash:
            pass
        else:
            break
        assert _reading(folder, tmp_path / "copy") == expected
        assert modeltail("queue", "repair", "--queue", folder).status == 0
        assert _reading(folder, tmp_path / "copy") == expected
        assert plan(RealDisk(), folder) == []
    assert calls > 25


def test_full_disk_leaves_the_queue_as_it_was(tmp_path: Path) -> None:
    """A copy that finds no room fails before anything is moved."""

    class Full(RealDisk):
        def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
            raise OSError(28, "No space left on device")

    _damaged_queue(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        carry_out(Full(), tmp_path, plan(Full(), tmp_path), lambda sentence: None)
    after = {name: data for name, data in snapshot(tmp_path).items() if not name.endswith(".tmp")}
    assert after == before


@settings(max_examples=40)
@given(data=st.data())
def test_any_damage_is_repaired_without_losing_a_readable_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is overwritten, cut or lost: a repaired queue reads as it did, and nothing is left to do. What was in an
    oldest segment that was moved away whole may count as unknown instead of damaged."""
    root = tmp_path_factory.mktemp("any")
    folder = root / "queue"
    fill(folder, [entry_in_turn(batch, pad=60) for batch in range(1, 13)], done=2)
    kinds: list[Callable[[Path, int], object]] = [
        lambda path, at: path.write_bytes(path.read_bytes()[:at] + b"\xa5" + path.read_bytes()[at + 1 :]),
        lambda path, at: path.write_bytes(path.read_bytes()[:at] + bytes(200) + path.read_bytes()[at + 200 :]),
        lambda path, at: path.write_bytes(path.read_bytes()[:at]),
        lambda path, at: path.write_bytes(path.read_bytes() + b"\xa5" * (at + 1)),
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(segments(folder)))
        size = path.stat().st_size
        data.draw(st.sampled_from(kinds))(path, data.draw(st.integers(0, max(0, size - 1))))
    records = {record for good in goods(folder) if not good.repeat for record in [good.stored.frame.seq]}
    before = _reading(folder, root / "copy")
    assert modeltail("queue", "repair", "--queue", folder).status == 0
    assert {good.stored.frame.seq for good in goods(folder) if not good.repeat} == records
    assert _with_one_kind_of_loss(_reading(folder, root / "copy")) == _with_one_kind_of_loss(before)
    assert plan(RealDisk(), folder) == []


def _with_one_kind_of_loss(readings: list[tuple[list[str], dict[str, int]]]) -> list[tuple[list[str], dict[str, int]]]:
    merged = []
    for ids, fates in readings:
        lost = fates.get("damaged", 0) + fates.get("unknown", 0)
        merged.append((ids, {**{fate: n for fate, n in fates.items() if fate != "unknown"}, "damaged": lost}))
    return merged


def test_repaired_queue_goes_on(tmp_path: Path) -> None:
    """An agent appends to it and delivers all, old and new, once."""
    _damaged_queue(tmp_path)
    modeltail("queue", "repair", "--queue", tmp_path)
    kept = sum(good.stored.frame.count for good in goods(tmp_path) if not good.repeat)

    async def main() -> None:
        async with open_queue(config(tmp_path), RUN) as queue:
            queue.subscribe("out", from_oldest=True)
            await queue.append(entry(99), "block")

    asyncio.run(main())
    found, counts = delivered(tmp_path)
    assert len(found) == len(set(found)) == kept  # three records more, and three were delivered before the damage
    assert counts["delivered"] == kept + 3
