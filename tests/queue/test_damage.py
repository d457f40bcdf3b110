"""Every known damage to the queue's files: it starts, what is readable comes out, and the ledger says what is not."""

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from agent.ledger import make_ledger, read_ledger
from agent.queue import damage as damage_module
from agent.queue.config import QueueConfig
from agent.queue.cursor import Cursor
from agent.queue.damage import FOLDER, set_aside
from agent.queue.damage import Damage as Place
from agent.queue.disk import RealDisk
from agent.queue.forget import forget_output
from agent.queue.queue import open_queue
from agent.queue.recovery import recover
from agent.record import RunId, record_id
from tests.queue.damage_matrix import matrix
from tests.queue.damages import CURSOR, DAMAGES, Damage, finish, frames_of, make_queue, outcome_of, segments
from tests.queue.entries import RUN, entry

ROOT = Path(__file__).resolve().parents[2]
ALL = tuple(range(3, 10))


class Expected(msgspec.Struct):
    """What must come of a damage. ``came`` and ``position`` in batches, the rest in records."""

    came: Sequence[int] = ALL
    position: int = 9
    fates: dict[str, int] = {}
    missing: int = 0
    aside: int = 0


_FRAME_5 = Expected([3, 4, 6, 7, 8, 9], fates={"damaged": 3}, aside=1)
_NO_MIDDLE = Expected([3, 7, 8, 9], fates={"damaged": 9})
_NO_MIDDLE_BUT_ASIDE = msgspec.structs.replace(_NO_MIDDLE, aside=1)
_NO_NEWEST = Expected([3, 4, 5, 6], position=6)
_NO_NEWEST_BUT_ASIDE = msgspec.structs.replace(_NO_NEWEST, aside=1)
_TORN = Expected([3, 4, 5, 6, 7, 8], position=8, aside=1)
_HEADER = Expected(aside=1)

EXPECTED = {
    "nothing": Expected(),
    "the last frame is torn": _TORN,
    "a flipped bit in the last frame": Expected(
        [3, 4, 5, 6, 7, 8], position=8, fates={"damaged": 3}, missing=3, aside=1
    ),
    "… that was delivered already": Expected([], position=8, missing=3),
    "a flipped bit in the last frame, after a kill": _TORN,
    "… that was delivered already, after a kill": Expected([], position=8, missing=3, aside=1),
    "a flipped bit in a frame: its mark": _FRAME_5,
    "… its checksum": _FRAME_5,
    "… its length": _FRAME_5,
    "… its sequence number": _FRAME_5,
    "… its positions and counts": _FRAME_5,
    "… its documents": _FRAME_5,
    "a flipped bit in the newest segment, not at its end": Expected([3, 4, 5, 6, 7, 9], fates={"damaged": 3}, aside=1),
    "a flipped bit in a segment's header": _HEADER,
    "… the newest one's": _HEADER,
    "… its magic": _HEADER,
    "… its version": _HEADER,
    "an older segment is cut off": Expected([3, 4, 7, 8, 9], fates={"damaged": 6}, aside=1),
    "an older segment is empty": _NO_MIDDLE,
    "an older segment is zeros": _NO_MIDDLE_BUT_ASIDE,
    "an older segment is garbage": _NO_MIDDLE_BUT_ASIDE,
    "the newest segment is empty": _NO_NEWEST,
    "the newest segment is zeros": _NO_NEWEST_BUT_ASIDE,
    "the newest segment is zeros, and was delivered": Expected([], position=6, missing=9, aside=1),
    "the oldest segment is gone": Expected([4, 5, 6, 7, 8, 9], fates={"unknown": 3}),
    "a segment in the middle is gone": _NO_MIDDLE,
    "the newest segment is gone": _NO_NEWEST,
    "the newest segment is gone, and was delivered": Expected([], position=6, missing=9),
    "every segment is gone": Expected([], position=0, missing=6),
    "the whole folder is gone": Expected([], position=0),
    "a segment's name is damaged: its base": Expected(),
    "… its mark": Expected(),
    "… its ending": Expected(),
    "a segment of a newer version": _NO_MIDDLE_BUT_ASIDE,
    "… the newest one": _NO_NEWEST_BUT_ASIDE,
    "a folder where a segment should be": _NO_MIDDLE_BUT_ASIDE,
    "a segment that cannot be opened": _NO_MIDDLE_BUT_ASIDE,
    "a leftover of a segment just begun: empty": Expected(),
    "… zeros": Expected(aside=1),
    "… half a header": Expected(aside=1),
    "leftover temporary files": Expected(),
    "the cursor's file is gone": Expected(),
    "… when all is delivered": Expected([7, 8, 9]),
    "the cursor's file is empty": Expected(),
    "the cursor's file is zeros": Expected(),
    "the cursor's file is garbage": Expected(aside=1),
    "the cursor's file is cut to one slot": Expected(),
    "the cursor's newer slot is damaged": Expected(),
    "a folder where the cursor should be": Expected(aside=1),
    "an old cursor is put back, its segments are deleted": Expected([4, 5, 6, 7, 8, 9], fates={"unknown": 3}),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damage_costs_only_what_it_hit_and_the_ledger_says_so(damage: Damage) -> None:
    """The queue opens, every readable frame comes out once and in order, what is missing has its count, and the sum
    balances."""
    outcome, expected = outcome_of(damage), EXPECTED[damage.name]
    assert outcome.balances
    assert outcome.came == list(expected.came)
    assert outcome.position == expected.position
    assert outcome.fates == expected.fates
    assert outcome.missing == expected.missing
    assert len(outcome.aside) == expected.aside


def test_every_damage_has_its_expectation() -> None:
    """The two tables grow together."""
    assert [damage.name for damage in DAMAGES] == list(EXPECTED)


def test_the_matrix_in_the_documents_is_what_the_cases_do() -> None:
    """`python -m tests.queue.damage_matrix` writes the table between the markers."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    shown = re.search(r"<!-- damage matrix -->\n(.*)\n<!-- end of damage matrix -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == matrix()


def test_damaged_bytes_are_counted_and_kept_once(tmp_path: Path) -> None:
    """The copy holds exactly the bytes of the damaged frame; a second output and a restart change neither copy nor
    count."""
    make_queue(tmp_path)
    segment = segments(tmp_path)[1]
    start, end = frames_of(segment)[1]
    data = bytearray(segment.read_bytes())
    data[end - 3] ^= 1
    segment.write_bytes(data)
    for _ in range(2):
        cursors = _read_by_both(tmp_path)
        assert [c.noted.get("damaged_bytes") for c in cursors] == [end - start] * 2
        assert [c.counts["damaged"] for c in cursors] == [3, 3]
        assert [p.read_bytes() for p in (tmp_path / FOLDER).iterdir()] == [bytes(data[start:end])]


def _read_by_both(folder: Path) -> list[Cursor]:
    async def main() -> list[Cursor]:
        async with asyncio.timeout(20), open_queue(_config(folder), RUN) as queue:
            subscriptions = [queue.subscribe(output, from_oldest=True) for output in ("out", "other")]
            for subscription in subscriptions:
                while stored := await subscription.read_now(10**6):
                    finish(subscription, stored)
            return [subscription.cursor for subscription in subscriptions]

    return asyncio.run(main())


def _config(folder: Path) -> QueueConfig:
    return QueueConfig(path=folder, min_free=0, sync_interval=0.001)


def test_what_is_set_aside_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing is copied any more, and the place says so; the same damage is never copied twice."""
    monkeypatch.setattr(damage_module, "MAX_KEPT_BYTES", 100)
    (tmp_path / "a.seg").write_bytes(os.urandom(200))
    first = Place("a.seg", 7, 60, "reason")
    copy = set_aside(RealDisk(), tmp_path, first)
    assert Path(copy).read_bytes() == (tmp_path / "a.seg").read_bytes()[7:67]
    assert set_aside(RealDisk(), tmp_path, first) == copy
    assert set_aside(RealDisk(), tmp_path, Place("a.seg", 100, 60, "reason")).startswith("not kept")
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_looking_at_a_damaged_queue_changes_nothing(tmp_path: Path) -> None:
    """Only a start mends and moves: a look, which may be at a queue in use, leaves every byte."""
    make_queue(tmp_path)
    segments(tmp_path)[1].write_bytes(b"garbage")
    segments(tmp_path)[0].rename(tmp_path / "lost-name")
    (tmp_path / CURSOR).write_bytes(b"")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    recover(RealDisk(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_forgotten_output_does_not_come_back_from_a_header(tmp_path: Path) -> None:
    """An output whose cursor is lost goes on from the last header; one that was forgotten begins anew."""
    make_queue(tmp_path)
    (tmp_path / CURSOR).unlink()
    assert _start_of(tmp_path) == 2
    assert forget_output(RealDisk(), tmp_path, "out")
    assert _start_of(tmp_path) == 12


def _start_of(folder: Path) -> int:
    async def main() -> int:
        async with open_queue(_config(folder), RUN) as queue:
            return queue.subscribe("out", from_oldest=False).cursor.low

    return asyncio.run(main())


def test_two_lives_of_a_cloned_queue_give_no_id_twice(tmp_path: Path) -> None:
    """A copy of the folder, as a restored backup or a cloned volume is one, and the queue itself go on with the same
    sequence numbers but never with the same record id."""
    make_queue(tmp_path / "queue")
    shutil.copytree(tmp_path / "queue", tmp_path / "clone")
    given = [_append_one(tmp_path / name, RunId().text) for name in ("queue", "clone")]
    (first_seqs, first_ids), (second_seqs, second_ids) = given
    assert first_seqs == second_seqs
    assert len(first_ids) == len(second_ids) == 3
    assert not first_ids & second_ids


def _append_one(folder: Path, run: str) -> tuple[list[int], set[str]]:
    """The sequence numbers and ids of what a new process appends."""

    async def main() -> tuple[list[int], set[str]]:
        async with asyncio.timeout(20), open_queue(_config(folder), run) as queue:
            subscription = queue.subscribe("new", from_oldest=False)
            await queue.append(entry(1), "block")
            stored = await subscription.read(1)
            ids = {
                record_id(s.frame.run, part.batch, part.first + i)
                for s in stored
                for part in s.frame.parts
                for i in range(part.count)
            }
            return [s.frame.seq for s in stored], ids

    return asyncio.run(main())


def test_cursor_of_the_outputs_own_may_be_ahead_of_the_queue(tmp_path: Path) -> None:
    """An output that keeps its own cursor has seen frames of a segment that is lost with the queue's copy of the
    cursor: new records are not taken for those it had, and the ledger balances."""
    make_queue(tmp_path, delivered=9)
    segments(tmp_path)[-1].unlink()
    (tmp_path / CURSOR).unlink()
    own = Cursor(low=9, low_total=27, counts={"delivered": 27})

    async def main() -> int:
        async with asyncio.timeout(20), open_queue(_config(tmp_path), RUN) as queue:
            subscription = queue.subscribe("out", from_oldest=False, own_cursor=own)
            await queue.append(entry(10), "block")
            came = finish(subscription, await subscription.read(10**6))
            assert make_ledger(queue.counts, queue.total, queue.cursors).balances
            return len(came)

    assert asyncio.run(main()) == 3
    assert read_ledger(tmp_path).inputs["?"].accepted == 9


def test_imbalance_without_damage_still_shows(tmp_path: Path) -> None:
    """The input `?` has what evidence says is missing, and nothing to make a sum fit: counts of ours that are wrong in
    a whole queue do not balance."""

    async def main() -> None:
        async with open_queue(_config(tmp_path), RUN) as queue:
            wrong = entry(1)
            wrong.counts.accepted -= 1
            await queue.append(wrong, "block")

    asyncio.run(main())
    ledger = read_ledger(tmp_path)
    assert "?" not in ledger.inputs
    assert not ledger.balances


def test_segment_that_vanishes_while_it_is_read_holds_nobody_up(tmp_path: Path) -> None:
    """A segment deleted by someone else under a running agent is counted as damaged; what is behind it comes."""
    make_queue(tmp_path)

    async def main() -> tuple[int, dict[str, int]]:
        async with asyncio.timeout(20), open_queue(_config(tmp_path), RUN) as queue:
            subscription = queue.subscribe("out", from_oldest=False)
            segments(tmp_path)[1].unlink()
            came = 0
            while subscription.queued:
                came += len(finish(subscription, await subscription.read_now(10**6)))
                await asyncio.sleep(0)
            return came, subscription.cursor.counts

    came, counts = asyncio.run(main())
    assert came == 12
    assert counts == {"delivered": 18, "damaged": 9}
